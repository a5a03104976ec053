"""Adding and multiplication: two of many numbers are marked, and their sum or product is asked at the end.

Three definitions: that of Hochreiter & Schmidhuber (1997), sections 5.4 and 5.5; that of Pascanu, Mikolov & Bengio
(2013) and of the authors' code; and that of Le, Jaitly & Hinton (2015) and Arjovsky, Shah & Bengio (2016).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import number_answers
from rnnlm_jax.tasks.drawing import at_all_steps, check_shortest, draw_between, draw_lengths, steps_at, steps_before
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import SampleFn, Task

HOCHREITER, PASCANU = "Hochreiter & Schmidhuber 1997", "Pascanu, Mikolov & Bengio 2013"

#: The share of Hochreiter & Schmidhuber's sequences in which the first pair is marked, and does not count.
FIRST_PAIR = 1 / 10
#: From this length on, the first ten pairs are in the first half.
HOCHREITER_LEAST = 20
#: From this length on, each window of Pascanu et al. has a place.
PASCANU_LEAST = 10

#: A function of the two marked numbers of each sequence: the answer.
Combine = Callable[[Array, Array], Array]


def scaled_sum(one: Float[Array, " B"], other: Float[Array, " B"]) -> Float[Array, " B"]:
    """Return ``0.5 + (X₁ + X₂)/4``, which is in [0, 1] for numbers in [-1, 1]."""
    return (one + other) / 4 + 0.5


def product(one: Float[Array, " B"], other: Float[Array, " B"]) -> Float[Array, " B"]:
    """Return ``X₁ X₂``."""
    return one * other


def mean(one: Float[Array, " B"], other: Float[Array, " B"]) -> Float[Array, " B"]:
    """Return ``(X₁ + X₂)/2``."""
    return (one + other) / 2


@cached_factory
def adding(loss: str = "squared", shortest: int = 0) -> Task:
    """Return experiment 4 of Hochreiter & Schmidhuber: ``0.5 + (X₁ + X₂)/4``.

    A sequence has T to T + T/10 pairs (lengths uniform) of a number, uniform in [-1, 1], and a marker. The marker is 1
    for one of the first ten pairs, and then for one of the first T/2 - 1 pairs that are still unmarked; -1 for the
    first and the last pair; 0 for the others. If the first pair is drawn, its marker is -1 and it counts as 0.
    ``length`` is T: 100, 500 and 1000 in the paper. An answer is right within 0.04. The paper trains until 2000
    sequences in a row are right; here, 99.9 % must be.

    Args:
        loss: "squared" error of a linear output, or "logistic": a logistic output with half the squared error, as
            published.
        shortest: T is uniform from this to ``length`` in each sequence; 0: it is ``length``.

    Raises:
        ArgumentError: for another loss or an impossible ``shortest``.
    """
    least = check_shortest(shortest, HOCHREITER_LEAST)
    # A number that counts has the variance 1/3. The answer of two has a triangular density on [0, 1], of one a uniform
    # density on [¼, ¾].
    right = (1 - FIRST_PAIR) * (1 - (1 - 2 * 0.04) ** 2) + FIRST_PAIR * 0.08 / 0.5
    return _task(
        "adding",
        source=HOCHREITER,
        sample=_hochreiter(scaled_sum, low=-1.0, neutral=0.0, shortest=shortest, least=least),
        loss=loss,
        tolerance=0.04,
        variance=(2 - FIRST_PAIR) / 3 / 16,
        chance_accuracy=right,
        solved_accuracy=0.999,
        default_length=max(100, least),
        shortest_length=least,
    )


@cached_factory
def multiplication(loss: str = "squared", shortest: int = 0) -> Task:
    """Return experiment 5 of Hochreiter & Schmidhuber: ``X₁ X₂``.

    As ``adding``, with numbers uniform in [0, 1]; if the first pair is drawn, it counts as 1. The paper has T = 100 and
    two criteria: fewer than 140 of 2000 sequences in a row wrong by more than 0.04, which is the one here (93 %), and
    fewer than 13 (99.35 %).
    """
    least = check_shortest(shortest, HOCHREITER_LEAST)
    # the distribution function of a product is x (1 - ln x), and of a single number x
    right = (1 - FIRST_PAIR) * 0.08 * (1 - math.log(0.08)) + FIRST_PAIR * 0.08
    first_moment, second_moment = (1 - FIRST_PAIR) / 4 + FIRST_PAIR / 2, (1 - FIRST_PAIR) / 9 + FIRST_PAIR / 3
    return _task(
        "multiplication",
        source=HOCHREITER,
        sample=_hochreiter(product, low=0.0, neutral=1.0, shortest=shortest, least=least),
        loss=loss,
        tolerance=0.04,
        variance=second_moment - first_moment**2,
        chance_accuracy=right,
        solved_accuracy=0.93,
        default_length=max(100, least),
        shortest_length=least,
    )


@cached_factory
def pascanu_addition(shortest: int = 0) -> Task:
    """Return the addition task of Pascanu et al.: ``(X₁ + X₂)/2``.

    A sequence has T to T + T/10 - 1 pairs (lengths L uniform) of a marker and a number, uniform in [0, 1]. The marker
    is 1 at a position uniform in [0, L/10) and at one uniform in [L/10, L/2), else 0. The answer is asked at the last
    pair, and is right if its squared error is below 0.04. The paper calls the task solved below 1 % errors on 10,000
    new sequences.

    Args:
        shortest: T is uniform from this to ``length`` in each sequence (the authors draw it for each batch); 0: it is
            ``length``.

    Raises:
        ArgumentError: for an impossible ``shortest``.
    """
    least = check_shortest(shortest, PASCANU_LEAST)
    return _task(
        "pascanu-addition",
        source=PASCANU,
        sample=_pascanu(mean, shortest=shortest, least=least),
        tolerance=0.2,
        variance=1 / 24,
        chance_accuracy=1 - 0.6**2,  # the density of the answer is a triangle on [0, 1]
        solved_accuracy=0.99,
        default_length=max(50, least),
        shortest_length=least,
    )


@cached_factory
def pascanu_multiplication(shortest: int = 0) -> Task:
    """Return the multiplication task of Pascanu et al.: ``X₁ X₂``; otherwise as ``pascanu_addition``."""
    least = check_shortest(shortest, PASCANU_LEAST)
    return _task(
        "pascanu-multiplication",
        source=PASCANU,
        sample=_pascanu(product, shortest=shortest, least=least),
        tolerance=0.2,
        variance=1 / 9 - 1 / 16,
        chance_accuracy=0.4 * (1 - math.log(0.4)),
        solved_accuracy=0.99,
        default_length=max(50, least),
        shortest_length=least,
    )


@cached_factory
def adding_problem(shortest: int = 0) -> Task:
    """Return the adding problem of Le et al. and Arjovsky et al.: ``X₁ + X₂``.

    A sequence has T pairs of a number, uniform in [0, 1], and a marker, which is 1 at a position uniform in the first
    half and at one uniform in the second half, else 0. The mean squared error of the best constant, 1, is 1/6 (0.167;
    Le et al. print 0.1767). Papers plot the mean squared error and name no error that is small enough: here an answer
    is right within 0.1, and the task solved when 95 % are.

    Args:
        shortest: T is uniform from this to ``length`` in each sequence; 0: it is ``length``.

    Raises:
        ArgumentError: for an impossible ``shortest``.
    """
    least = check_shortest(shortest, 2)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        k_lengths, k_values, k_first, k_second = jax.random.split(key, 4)
        ends = draw_lengths(k_lengths, batch_size, length, shortest=shortest, least=least)
        values = jax.random.uniform(k_values, (length, batch_size), jnp.float32)
        first, second = draw_between(k_first, 0, ends // 2), draw_between(k_second, ends // 2, ends)
        markers = steps_at(first, length) | steps_at(second, length)
        inputs = jnp.stack([values, markers.astype(jnp.float32)], axis=-1)
        return _sequences(inputs, ends, at(values, first) + at(values, second))

    return _task(
        "adding-problem",
        sample=sample,
        source="Le, Jaitly & Hinton 2015; Arjovsky, Shah & Bengio 2016",
        tolerance=0.1,
        variance=1 / 6,
        chance_accuracy=1 - 0.9**2,
        solved_accuracy=0.95,
        default_length=max(200, least),
        shortest_length=least,
    )


def at(values: Float[Array, "T B"], positions: Int[Array, " B"]) -> Float[Array, " B"]:
    """Return the value at the position of each sequence."""
    return jnp.take_along_axis(values, positions[None, :], axis=0)[0]


def _hochreiter(combine: Combine, *, low: float, neutral: float, shortest: int, least: int) -> SampleFn:
    """Return the generator of Hochreiter & Schmidhuber: numbers from ``low`` to 1, the first pair ``neutral``."""

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        k_lengths, k_more, k_values, k_first, k_second = jax.random.split(key, 5)
        lengths = draw_lengths(k_lengths, batch_size, length, shortest=shortest, least=least)
        ends, steps = lengths + draw_between(k_more, 0, lengths // 10 + 1), length + length // 10
        values = jax.random.uniform(k_values, (steps, batch_size), jnp.float32, low, 1.0)
        first = draw_between(k_first, 0, jnp.full_like(ends, 10))
        second = draw_between(k_second, 0, lengths // 2 - 1)
        second = second + (second >= first).astype(jnp.int32)  # the position among the unmarked ones
        one, other = (jnp.where(place == 0, neutral, at(values, place)) for place in (first, second))
        markers = (steps_at(first, steps) | steps_at(second, steps)).astype(jnp.float32)
        markers = jnp.where(steps_at(ends - 1, steps), -1.0, markers).at[0].set(-1.0)
        return _sequences(jnp.stack([values, markers], axis=-1), ends, combine(one, other))

    return sample


def _pascanu(combine: Combine, *, shortest: int, least: int) -> SampleFn:
    """Return the generator of Pascanu et al."""

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        k_lengths, k_more, k_values, k_first, k_second = jax.random.split(key, 5)
        lengths = draw_lengths(k_lengths, batch_size, length, shortest=shortest, least=least)
        ends, steps = lengths + draw_between(k_more, 0, lengths // 10), length + length // 10 - 1
        values = jax.random.uniform(k_values, (steps, batch_size), jnp.float32)
        first = draw_between(k_first, 0, ends // 10)
        second = ends // 10 + draw_between(k_second, 0, 4 * ends // 10)
        markers = steps_at(first, steps) | steps_at(second, steps)
        inputs = jnp.stack([markers.astype(jnp.float32), values], axis=-1)
        return _sequences(inputs, ends, combine(at(values, first), at(values, second)))

    return sample


def _sequences(inputs: Float[Array, "T B D"], ends: Int[Array, " B"], answers: Float[Array, " B"]) -> Sequences:
    """Return sequences whose answer is asked at their last step."""
    steps = inputs.shape[0]
    inside = steps_before(ends, steps)[..., None].astype(jnp.float32)
    return Sequences(inputs * inside, at_all_steps(answers[:, None], steps), steps_at(ends - 1, steps))


def _task(
    name: str,
    *,
    source: str,
    sample: SampleFn,
    loss: str = "squared",
    tolerance: float,
    variance: float,
    chance_accuracy: float,
    solved_accuracy: float,
    default_length: int,
    shortest_length: int,
) -> Task:
    """Return a task whose answers are single numbers of a variance."""
    answers = number_answers(loss, tolerance)
    return Task(
        name=name,
        source=source,
        input_size=2,
        output_size=1,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        chance_loss=lambda length: answers.blind_loss([variance]),
        chance_accuracy=chance_accuracy,
        solved_accuracy=solved_accuracy,
        default_length=default_length,
        shortest_length=shortest_length,
    )
