"""Long lags: the first symbol of a sequence says which the last one is; between them is nothing to be learnt.

Experiments 2a, 2b and 2c of Hochreiter & Schmidhuber (1997), section 5.2, and the random permutation task of Pascanu,
Mikolov & Bengio (2013) and of the authors' code, which is 2b with another alphabet, asked at the end only.
"""

import math

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import check_count, class_answers
from rnnlm_jax.tasks.drawing import (
    at_all_steps,
    check_shortest,
    draw_lengths,
    draw_symbols,
    one_hot,
    steps_at,
    steps_before,
)
from rnnlm_jax.tasks.objective import Judged, Sequences
from rnnlm_jax.tasks.task import Task, check_sample_sizes

SOURCE = "Hochreiter & Schmidhuber 1997"
#: The probability of one more distractor in 2c.
GOES_ON = 0.9


@cached_factory
def noise_free_lag(symbols: int = 100, loss: str = "nats") -> Task:
    """Return experiment 2a: (x, a_1, …, a_{L-1}, x) or (y, a_1, …, a_{L-1}, y), each with probability ½.

    The next symbol is asked at each of L steps; all are certain but the last, for which the first must be remembered.
    ``length`` is L; the paper has L = p. A sequence is right if all outputs are within 0.25 of the targets at every
    step; solved is, as in the paper, every one of the sequences of a test, there 10,000. An answer that counts steps
    but does not read has half of the sequences right.

    Args:
        symbols: p: the alphabet is a_1 … a_{p-1}, x and y; also the greatest L.
        loss: "nats" of a softmax, or "logistic": logistic outputs with half the squared error, as published.

    Raises:
        ArgumentError: for fewer than one symbol or another loss.
    """
    check_count("symbols", symbols, least=1)
    answers = class_answers(loss, tolerance=0.25)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length, longest=symbols)
        ends = draw_symbols(key, (1, batch_size), symbols - 1, symbols + 1)
        between = jnp.broadcast_to(jnp.arange(length - 1, dtype=jnp.int32)[:, None], (length - 1, batch_size))
        sequence = jnp.concatenate([ends, between, ends])
        return Sequences(one_hot(sequence[:-1], symbols + 1), sequence[1:], jnp.ones((length, batch_size), bool))

    return Task(
        name="noise-free-lag",
        source=SOURCE,
        input_size=symbols + 1,
        output_size=symbols + 1,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        takes_classes=True,
        chance_loss=lambda length: answers.blind_loss([0.5, 0.5]) / length,
        chance_accuracy=0.5,
        solved_accuracy=1.0,
        judged=Judged.SEQUENCES,
        default_length=symbols,
        longest_length=symbols,
    )


@cached_factory
def no_regularities(symbols: int = 100, loss: str = "nats") -> Task:
    """Return experiment 2b: as 2a, with distractors drawn uniformly from a_1 … a_{p-1}.

    The next symbol is asked at each of L steps; only the last can be known, and only that one is judged: a sequence is
    right if all outputs are within 0.25 of the target at its end; solved is every one of the sequences of a test, as in
    the paper. Targets are ``[T, B, 2]``: the next symbol, and whether it is judged. ``length`` is L; the paper has L =
    p.

    Args:
        symbols: p: the alphabet is a_1 … a_{p-1}, x and y.
        loss: "nats" of a softmax, or "logistic": logistic outputs with half the squared error, as published.

    Raises:
        ArgumentError: for fewer than two symbols or another loss.
    """
    check_count("symbols", symbols, least=2)
    answers = class_answers(loss, tolerance=0.25)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        k_ends, k_between = jax.random.split(key)
        ends = draw_symbols(k_ends, (1, batch_size), symbols - 1, symbols + 1)
        between = draw_symbols(k_between, (length - 1, batch_size), 0, symbols - 1)
        sequence = jnp.concatenate([ends, between, ends])
        judged = jnp.zeros((length, batch_size), jnp.int32).at[-1].set(1)
        targets = jnp.stack([sequence[1:], judged], axis=-1)
        return Sequences(one_hot(sequence[:-1], symbols + 1), targets, jnp.ones((length, batch_size), bool))

    def loss_of_next(outputs: Float[Array, "*B K"], targets: Int[Array, "*B 2"]) -> Float[Array, "*B"]:
        return answers.loss(outputs, targets[..., 0])

    def last_is_right(outputs: Float[Array, "*B K"], targets: Int[Array, "*B 2"]) -> Bool[Array, "*B"]:
        return answers.correct(outputs, targets[..., 0]) | (targets[..., 1] == 0)

    def chance_loss(length: int) -> float:
        distractors = answers.blind_loss([1 / (symbols - 1)] * (symbols - 1))
        return ((length - 1) * distractors + answers.blind_loss([0.5, 0.5])) / length

    return Task(
        name="no-regularities",
        source=SOURCE,
        input_size=symbols + 1,
        output_size=symbols + 1,
        sample=sample,
        loss=loss_of_next,
        correct=last_is_right,
        chance_loss=chance_loss,
        chance_accuracy=0.5,
        solved_accuracy=1.0,
        judged=Judged.SEQUENCES,
        default_length=symbols,
    )


@cached_factory
def very_long_lag(symbols: int = 100, longest_suffix: int = 100, loss: str = "nats") -> Task:
    """Return experiment 2c: (b, x or y, q + k distractors, e), and x or y is asked at e.

    Distractors are uniform among p symbols; k is geometric: one more follows with probability 9/10. To keep shapes
    fixed, k is drawn given that it is at most ``longest_suffix``, which it exceeds in 0.9^101 = 0.002 % of published
    sequences; a sequence is read for q + k + 3 steps, and padded to q + ``longest_suffix`` + 3. ``length`` is q; the
    paper has q = p = 50 … 1000, and q = 1000 with p = 50 … 1000. An answer is right if both outputs are within 0.2 of
    the target; solved is every one of the sequences of a test, as in the paper, there 10,000.

    Args:
        symbols: p; inputs are one-hot vectors of p + 4 symbols.
        longest_suffix: the greatest k.
        loss: "nats" of a softmax, or "logistic": logistic outputs with half the squared error, as published.

    Raises:
        ArgumentError: for fewer than one symbol, a negative suffix or another loss.
    """
    check_count("symbols", symbols, least=1)
    check_count("longest_suffix", longest_suffix, least=0)
    answers = class_answers(loss, tolerance=0.2)
    trigger, begin, x = symbols, symbols + 1, symbols + 2  # y is x + 1

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        k_class, k_suffix, k_between = jax.random.split(key, 3)
        steps = length + longest_suffix + 3
        answer = draw_symbols(k_class, (batch_size,), 0, 2)
        log_probs = jnp.arange(longest_suffix + 1, dtype=jnp.float32) * math.log(GOES_ON)
        suffix = jax.random.categorical(k_suffix, log_probs, shape=(batch_size,)).astype(jnp.int32)
        ends = length + suffix + 3
        sequence = draw_symbols(k_between, (steps, batch_size), 0, symbols)
        mask = steps_at(ends - 1, steps)
        sequence = jnp.where(mask, trigger, sequence).at[0].set(begin).at[1].set(x + answer)
        inputs = one_hot(sequence, symbols + 4, steps_before(ends, steps))
        return Sequences(inputs, at_all_steps(answer, steps), mask)

    return Task(
        name="very-long-lag",
        source=SOURCE,
        input_size=symbols + 4,
        output_size=2,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        takes_classes=True,
        chance_loss=lambda length: answers.blind_loss([0.5, 0.5]),
        chance_accuracy=0.5,
        solved_accuracy=1.0,
        default_length=symbols,
    )


@cached_factory
def random_permutation(symbols: int = 100, shortest: int = 0) -> Task:
    """Return the random permutation task of Pascanu et al.: the first symbol is asked at the end.

    The first of T symbols is 0 or 1, each with probability ½; the others are uniform among the other symbols, 2 to 99.
    At the last one, the first is asked: a class among all 100. The paper calls the task solved below 1 % errors on
    10,000 new sequences.

    Args:
        symbols: the size of the alphabet.
        shortest: T is uniform from this to ``length`` in each sequence (the authors draw it for each batch); 0: it is
            ``length``.

    Raises:
        ArgumentError: for fewer than three symbols or an impossible ``shortest``.
    """
    check_count("symbols", symbols, least=3)
    least = check_shortest(shortest, 1)
    answers = class_answers("nats")

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        k_lengths, k_first, k_others = jax.random.split(key, 3)
        ends = draw_lengths(k_lengths, batch_size, length, shortest=shortest, least=least)
        first = draw_symbols(k_first, (batch_size,), 0, 2)
        sequence = draw_symbols(k_others, (length, batch_size), 2, symbols).at[0].set(first)
        inputs = one_hot(sequence, symbols, steps_before(ends, length))
        return Sequences(inputs, at_all_steps(first, length), steps_at(ends - 1, length))

    return Task(
        name="random-permutation",
        source="Pascanu, Mikolov & Bengio 2013",
        input_size=symbols,
        output_size=symbols,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        takes_classes=True,
        chance_loss=lambda length: math.log(2),
        chance_accuracy=0.5,
        solved_accuracy=0.99,
        default_length=max(50, least),
        shortest_length=least,
    )
