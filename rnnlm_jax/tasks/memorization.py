"""Memorization: symbols are shown, then nothing for long; at a signal, they are to be written in their order.

Two definitions: the noiseless memorization of Pascanu, Mikolov & Bengio (2013) and of the authors' code, after
Hochreiter & Schmidhuber (1997) and Martens & Sutskever (2011); and the copying memory problem of Arjovsky, Shah &
Bengio (2016), section 5.1.
"""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import check_count, class_answers
from rnnlm_jax.tasks.drawing import (
    check_shortest,
    draw_lengths,
    draw_symbols,
    mean_length,
    one_hot,
    steps_at,
    steps_before,
)
from rnnlm_jax.tasks.objective import Judged, Sequences
from rnnlm_jax.tasks.task import SampleFn, Task


@cached_factory
def noiseless_memorization(values: int = 2, positions: int = 5, shortest: int = 0) -> Task:
    """Return the noiseless memorization task: the 5-bit problem, or with 5 values at 10 positions the 20-bit problem.

    A sequence has P symbols, uniform among V, then T blanks, a signal and P - 1 blanks. The symbol that the network
    should write is asked at every step: blank, and from the signal on, the P symbols. ``length`` is T. A sequence is
    right if all its T + 2P answers are. The paper calls the task solved below 1 % wrong on 10,000 new sequences.

    Args:
        values: V; classes are the V symbols and blank, inputs one-hot vectors of these and the signal.
        positions: P. 2 values at 5 positions make 32 patterns; 5 values at 10 positions 9.8 million.
        shortest: T is uniform from this to ``length`` in each sequence (the authors draw it for each batch); 0: it is
            ``length``.

    Raises:
        ArgumentError: for fewer than two values or one position, or an impossible ``shortest``.
    """
    check_count("values", values, least=2)
    check_count("positions", positions, least=1)
    least = check_shortest(shortest, 1)
    return _task(
        "noiseless-memorization",
        "Pascanu, Mikolov & Bengio 2013",
        _sample(values, positions, shortest=shortest, least=least, recalls_at_signal=True),
        values=values,
        positions=positions,
        shortest=shortest,
        default_length=max(50, least),
        shortest_length=least,
    )


@cached_factory
def copy_memory(symbols: int = 8, items: int = 10) -> Task:
    """Return the copying memory problem: ten symbols after T blanks.

    A sequence has ten symbols, uniform among eight, then T - 1 blanks, a signal and ten blanks. The symbol that the
    network should write is asked at every step: blank, and after the signal, the ten symbols. ``length`` is T. A
    network without memory comes to ``10 ln 8 / (T + 20)`` nats, the baseline of the paper, which plots losses and names
    none that is small enough: here a sequence is right if all its answers are, and the task solved when 99 % are.

    Args:
        symbols: the number of different symbols; classes are these and blank, inputs these, blank and the signal.
        items: the number of symbols to copy.

    Raises:
        ArgumentError: for fewer than two symbols or one item.
    """
    check_count("symbols", symbols, least=2)
    check_count("items", items, least=1)
    return _task(
        "copy-memory",
        "Arjovsky, Shah & Bengio 2016",
        _sample(symbols, items, shortest=0, least=1, recalls_at_signal=False),
        values=symbols,
        positions=items,
        default_length=100,
        shortest_length=1,
    )


def _sample(values: int, positions: int, *, shortest: int, least: int, recalls_at_signal: bool) -> SampleFn:
    """Return the generator; the first symbol is asked at the signal, or one step later, T blanks after the last."""
    blank, signal = values, values + 1

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        k_lengths, k_symbols = jax.random.split(key)
        lengths = draw_lengths(k_lengths, batch_size, length, shortest=shortest, least=least)
        symbols = draw_symbols(k_symbols, (positions, batch_size), 0, values)
        steps, recall = length + 2 * positions, lengths + positions
        blanks = jnp.full((length + positions, batch_size), blank, jnp.int32)
        is_signal = steps_at(recall if recalls_at_signal else recall - 1, steps)
        shown = jnp.where(is_signal, signal, jnp.concatenate([symbols, blanks]))
        place = jnp.arange(steps, dtype=jnp.int32)[:, None] - recall[None, :]
        recalled = jnp.take_along_axis(symbols, jnp.clip(place, 0, positions - 1), axis=0)
        mask = steps_before(recall + positions, steps)
        return Sequences(one_hot(shown, values + 2, mask), jnp.where(place < 0, blank, recalled), mask)

    return sample


def _task(
    name: str,
    source: str,
    sample: SampleFn,
    *,
    values: int,
    positions: int,
    shortest: int = 0,
    default_length: int,
    shortest_length: int,
) -> Task:
    """Return a task that asks for a symbol or blank at every step."""
    answers = class_answers("nats")
    one_recalled = answers.blind_loss([1 / values] * values)
    return Task(
        name=name,
        source=source,
        input_size=values + 2,
        output_size=values + 1,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        takes_classes=True,
        chance_loss=lambda length: positions * one_recalled / (mean_length(length, shortest) + 2 * positions),
        chance_accuracy=values**-positions,
        solved_accuracy=0.99,
        judged=Judged.SEQUENCES,
        default_length=default_length,
        shortest_length=shortest_length,
    )
