"""State tracking: parity, modular arithmetic and cycle navigation, the answer asked after every prefix.

Definitions and alphabets are those of Delétang et al. (2023), "Neural Networks and the Chomsky Hierarchy", and of the
authors' code. There, a sequence of a length drawn uniformly from 1 to N is followed by one
blank step, at which its answer is asked. Here the answer of each prefix is asked at its last symbol: prefixes of a
sequence of length N are distributed as sequences of lengths 1 to N, so that one sequence asks what N published ones
do, in the same proportions. A network must be causal for this to be a task.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Int, Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import check_count, class_is_right, class_nats
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import Task, check_sample_sizes

SOURCE = "Delétang et al. 2023"
#: From this share of right answers on longer sequences on, Delétang et al. call a task solved.
SOLVED = 0.9
#: The length of their training sequences.
LENGTH = 40


@cached_factory
def parity() -> Task:
    """Return the task of whether the number of ones so far is odd.

    Symbols 0 and 1 are drawn uniformly; class 0 is even, 1 is odd. ``1 0 1 0 1 0 0`` has three ones: class 1.
    """

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        symbols = jax.random.randint(key, (length, batch_size), 0, 2, jnp.int32)
        return _sequences(symbols, 2, jnp.cumsum(symbols, axis=0, dtype=jnp.int32) % 2)

    return _state_tracking("parity", input_size=2, classes=2, sample=sample)


@cached_factory
def cycle_navigation(cycle_length: int = 5) -> Task:
    """Return the task of where a walk on a cycle has arrived.

    Moves -1, 0 and +1 are drawn uniformly, and fed as symbols 0, 1 and 2; the walk starts at 0, and the class is its
    position. ``+1 -1 0 -1 -1`` arrives at -2, which is 3 on a cycle of five.

    Args:
        cycle_length: the number of positions, at least 2.

    Raises:
        ArgumentError: for fewer.
    """
    check_count("cycle_length", cycle_length, least=2)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        symbols = jax.random.randint(key, (length, batch_size), 0, 3, jnp.int32)
        return _sequences(symbols, 3, jnp.cumsum(symbols - 1, axis=0, dtype=jnp.int32) % cycle_length)

    return _state_tracking("cycle-navigation", input_size=3, classes=cycle_length, sample=sample)


#: Operators of modular arithmetic, in the order of their symbols, which follow those of the numbers.
OPERATORS = ("+", "-", "*")


@cached_factory
def modular_arithmetic(modulus: int = 5) -> Task:
    """Return the task of the value of an arithmetic expression without brackets, modulo a number.

    Numbers 0 … m - 1 at odd positions and operators ``+ - *`` between them, all drawn uniformly; ``*`` binds more
    strongly. Symbols 0 … m - 1 are the numbers, and m, m + 1, m + 2 the operators. The answer is asked at each
    number: an even length asks no more than the odd one before it. ``0 * 1 + 4 * 3 - 2`` is 10, which is 0 modulo 5.
    (The authors' alphabet has a blank as its ninth symbol, which no expression contains; it is left out.)

    Args:
        modulus: m, at least 2.

    Raises:
        ArgumentError: for a smaller one.
    """
    check_count("modulus", modulus, least=2)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        k_numbers, k_operators = jax.random.split(key)
        numbers = jax.random.randint(k_numbers, (length, batch_size), 0, modulus, jnp.int32)
        operators = jax.random.randint(k_operators, (length, batch_size), 0, len(OPERATORS), jnp.int32)
        is_number = (jnp.arange(length) % 2 == 0)[:, None]
        symbols = jnp.where(is_number, numbers, operators + modulus)
        mask = jnp.broadcast_to(is_number, symbols.shape)
        return _sequences(symbols, modulus + len(OPERATORS), values(symbols, modulus), mask)

    size = modulus + len(OPERATORS)
    return _state_tracking("modular-arithmetic", input_size=size, classes=modulus, sample=sample)


def values(symbols: Int[Array, "T B"], modulus: int) -> Int[Array, "T B"]:
    """Return the value of each prefix of expressions modulo ``modulus``; at an operator, that of the prefix before it.

    Read from the left, an expression is the sum of its finished terms and of a last one, which ``*`` may still change.
    """

    def read(state: tuple[Array, Array, Array], symbol: Array) -> tuple[tuple[Array, Array, Array], Array]:
        total, term, operator = state
        is_product, sign = operator == 2, jnp.where(operator == 1, -1, 1)
        is_number = symbol < modulus
        new_total = jnp.where(is_product, total, (total + term) % modulus)
        new_term = jnp.where(is_product, term * symbol, sign * symbol) % modulus
        total, term = jnp.where(is_number, new_total, total), jnp.where(is_number, new_term, term)
        operator = jnp.where(is_number, operator, symbol - modulus)
        return (total, term, operator), (total + term) % modulus

    zeros = jnp.zeros(symbols.shape[1:], jnp.int32)
    return jax.lax.scan(read, (zeros, zeros, zeros), symbols)[1]


def _state_tracking(name: str, *, input_size: int, classes: int, sample: Callable[..., Sequences]) -> Task:
    """Return a task whose answers are classes that are equally likely in long sequences."""
    return Task(
        name=name,
        source=SOURCE,
        input_size=input_size,
        output_size=classes,
        sample=sample,
        loss=class_nats,
        correct=class_is_right,
        takes_classes=True,
        chance_loss=lambda length: math.log(classes),
        chance_accuracy=1 / classes,
        solved_accuracy=SOLVED,
        default_length=LENGTH,
    )


def _sequences(
    symbols: Int[Array, "T B"], alphabet: int, targets: Int[Array, "T B"], mask: Array | None = None
) -> Sequences:
    """Return symbols as one-hot vectors with their targets; asked at every step unless there is a mask."""
    inputs = jax.nn.one_hot(symbols, alphabet, dtype=jnp.float32)
    return Sequences(inputs, targets, jnp.ones(symbols.shape, bool) if mask is None else mask)
