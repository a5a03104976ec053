"""The two-sequence problem of Bengio, Simard & Frasconi (1994): the sign of the first elements of a noisy sequence.

Experiments 3a, 3b and 3c of Hochreiter & Schmidhuber (1997), section 5.3.
"""

import math

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import bit_answers, check_choice, check_count
from rnnlm_jax.tasks.drawing import (
    at_all_steps,
    check_shortest,
    draw_between,
    draw_lengths,
    draw_symbols,
    steps_at,
    steps_before,
)
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import Task

#: Variances of the noise on the input line, and of that on the targets of 3c.
INPUT_VARIANCE, TARGET_VARIANCE = 0.2, 0.1


@cached_factory
def two_sequence(experiment: str = "3a", informative: int = 3, loss: str = "nats", shortest: int = 0) -> Task:
    """Return the two-sequence problem: one number a step, and the class asked at the end.

    A sequence has T to T + T/10 numbers (lengths uniform). The first N are 1 for class 1 and -1 for class 2, each with
    probability ½; the others are normal, with mean 0 and variance 0.2. ``length`` is T: 100 or 1000 in the paper.

    ======  ============================  ============================================  =========================
    name    first numbers                 target of class 1, of class 2                 right within
    ======  ============================  ============================================  =========================
    3a      1, -1                         1, 0                                          0.2
    3b      the same, plus noise as the   1, 0                                          0.2
            others have
    3c      1, -1                         0.2, 0.8, plus normal noise of variance 0.1   0.1 of the noise-free target
    ======  ============================  ============================================  =========================

    The paper stops when none (3a, 3c) or fewer than 6 (3b) of 256 sequences of a test are wrong: here, when at least
    255 or 251 of 256 are right. Its further condition for 3c, a mean difference from the noise-free target below 0.015,
    is not part of ``correct``. Targets are ``[T, B, 2]``: the target, and the same without noise.

    Args:
        experiment: "3a", "3b" or "3c".
        informative: N, 1 or 3 in the paper.
        loss: of one logistic output: "nats", the cross-entropy, which is least at the mean target as well; or
            "logistic", half the squared error, as published.
        shortest: T is uniform from this to ``length`` in each sequence; 0: it is ``length``.

    Raises:
        ArgumentError: for another experiment or loss, an N below 1, or an impossible ``shortest``.
    """
    check_choice("experiment", experiment, ("3a", "3b", "3c"))
    check_count("informative", informative, least=1)
    least = check_shortest(shortest, informative)
    is_noisy = experiment == "3c"
    answers = bit_answers(loss, tolerance=0.1 if is_noisy else 0.2)
    low, high = (0.2, 0.8) if is_noisy else (0.0, 1.0)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        k_lengths, k_more, k_class, k_noise, k_targets = jax.random.split(key, 5)
        lengths = draw_lengths(k_lengths, batch_size, length, shortest=shortest, least=least)
        ends, steps = lengths + draw_between(k_more, 0, lengths // 10 + 1), length + length // 10
        is_second = draw_symbols(k_class, (batch_size,), 0, 2).astype(jnp.float32)
        noise = math.sqrt(INPUT_VARIANCE) * jax.random.normal(k_noise, (steps, batch_size), jnp.float32)
        informs = (jnp.arange(steps) < informative)[:, None]
        signal = jnp.where(informs, 1 - 2 * is_second[None, :], 0.0)
        line = signal + (noise if experiment == "3b" else jnp.where(informs, 0.0, noise))
        line = jnp.where(steps_before(ends, steps), line, 0.0)
        clean = low + (high - low) * (is_second if is_noisy else 1 - is_second)
        target_noise = math.sqrt(TARGET_VARIANCE) * jax.random.normal(k_targets, (batch_size,), jnp.float32)
        targets = jnp.stack([clean + target_noise if is_noisy else clean, clean], axis=-1)
        return Sequences(line[..., None], at_all_steps(targets, steps), steps_at(ends - 1, steps))

    def target_loss(outputs: Float[Array, "*B 1"], targets: Float[Array, "*B 2"]) -> Float[Array, "*B"]:
        return answers.loss(outputs, targets[..., :1])

    def clean_is_right(outputs: Float[Array, "*B 1"], targets: Float[Array, "*B 2"]) -> Bool[Array, "*B"]:
        return answers.correct(outputs, targets[..., 1:])

    variance = (high - low) ** 2 / 4 + (TARGET_VARIANCE if is_noisy else 0)
    return Task(
        name="two-sequence",
        source="Hochreiter & Schmidhuber 1997",
        input_size=1,
        output_size=1,
        sample=sample,
        loss=target_loss,
        correct=clean_is_right,
        chance_loss=lambda length: math.log(2) if loss == "nats" else variance / 2,
        chance_accuracy=0.5,
        solved_accuracy=(251 if experiment == "3b" else 255) / 256,
        default_length=max(100, least),
        shortest_length=least,
    )
