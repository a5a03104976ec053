"""Temporal order: two or three symbols X or Y among distractors, far apart; the class is their order.

Two definitions: that of Hochreiter & Schmidhuber (1997), section 5.6, experiments 6a and 6b, and that of Pascanu,
Mikolov & Bengio (2013), section 4.1, and of the authors' code. They differ in the windows' ends, in the alphabet, in
the lengths and in the criterion.
"""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import Answers, class_answers
from rnnlm_jax.tasks.drawing import (
    at_all_steps,
    check_shortest,
    draw_between,
    draw_lengths,
    draw_symbols,
    one_hot,
    steps_at,
    steps_before,
)
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import Task

#: X and Y are symbols 0 and 1; distractors are 2 to 5; E, with which a sequence starts, and B, with which it ends.
DISTRACTORS = range(2, 6)
START, END = 6, 7
#: Where windows of two and of three symbols begin, in per cent of the length; each is a tenth of it long.
HOCHREITER_WINDOWS = (10, 50), (10, 33, 66)
PASCANU_WINDOWS = (10, 50), (10, 30, 60)
#: From this length on, every window has a place of its own.
LEAST_LENGTH = 10


@cached_factory
def temporal_order(loss: str = "nats", shortest: int = 0) -> Task:
    """Return experiment 6a: the order of two symbols.

    A sequence of T to T + T/10 symbols (lengths uniform) starts with E and ends with B. At a position uniform in
    [T/10, T/5], and at one uniform in [T/2, 3T/5], it has X or Y, each with probability ½; elsewhere a, b, c or d,
    uniform. Classes: XX, XY, YX, YY, asked at B. ``length`` is T, 100 in the paper. An answer is right if all outputs
    are within 0.3 of the target. The paper trains until 2000 sequences in a row are right; here, 99.9 % must be.

    Args:
        loss: "nats" of a softmax, or "logistic": logistic outputs with half the squared error, as published.
        shortest: T is uniform from this to ``length`` in each sequence; 0: it is ``length``.

    Raises:
        ArgumentError: for another loss or an impossible ``shortest``.
    """
    return _task("temporal-order", HOCHREITER_WINDOWS[0], class_answers(loss, 0.3), shortest, framed=True)


@cached_factory
def temporal_order_3(loss: str = "nats", shortest: int = 0) -> Task:
    """Return experiment 6b: the order of three symbols.

    As ``temporal_order``, with windows [T/10, T/5], [0.33 T, 0.43 T] and [0.66 T, 0.76 T], and eight classes: XXX,
    XXY, XYX, XYY, YXX, YXY, YYX, YYY.
    """
    return _task("temporal-order-3", HOCHREITER_WINDOWS[1], class_answers(loss, 0.3), shortest, framed=True)


@cached_factory
def pascanu_temporal_order(shortest: int = 0) -> Task:
    """Return the temporal order task of Pascanu et al.: the order of two symbols.

    A sequence has T symbols. At a position uniform in [T/10, T/5) and at one uniform in [T/2, 3T/5) it has A or B,
    each with probability ½; elsewhere one of four distractors, uniform. The class, one of four, is asked at the last
    symbol. The paper calls the task solved below 1 % errors on 10,000 new sequences.

    Args:
        shortest: T is uniform from this to ``length`` in each sequence (the authors draw it for each batch); 0: it is
            ``length``.

    Raises:
        ArgumentError: for an impossible ``shortest``.
    """
    return _task("pascanu-temporal-order", PASCANU_WINDOWS[0], class_answers("nats"), shortest, framed=False)


@cached_factory
def pascanu_temporal_order_3(shortest: int = 0) -> Task:
    """Return the 3-symbol temporal order task of Pascanu et al.

    As ``pascanu_temporal_order``, with windows [T/10, T/5), [3T/10, 2T/5) and [3T/5, 7T/10), and eight classes.
    """
    return _task("pascanu-temporal-order-3", PASCANU_WINDOWS[1], class_answers("nats"), shortest, framed=False)


def _task(name: str, windows: tuple[int, ...], answers: Answers, shortest: int, *, framed: bool) -> Task:
    """Return a task of temporal order.

    Args:
        name: its name.
        windows: where windows begin, in per cent of T.
        answers: how answers are judged.
        shortest: the least T; 0: ``length``.
        framed: Hochreiter & Schmidhuber's definition: E and B at the ends, T/10 symbols more at most, windows with
            their ends.
    """
    least = check_shortest(shortest, LEAST_LENGTH)
    classes = 2 ** len(windows)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        k_lengths, k_more, k_distractors, *ks = jax.random.split(key, 3 + 2 * len(windows))
        lengths = draw_lengths(k_lengths, batch_size, length, shortest=shortest, least=least)
        tenths, ends, steps = lengths // 10, lengths, length
        if framed:
            ends, steps = lengths + draw_between(k_more, 0, tenths + 1), length + length // 10
        symbols = draw_symbols(k_distractors, (steps, batch_size), DISTRACTORS.start, DISTRACTORS.stop)
        order = jnp.zeros(batch_size, jnp.int32)
        for window, k_position, k_symbol in zip(windows, ks[::2], ks[1::2], strict=True):
            position = window * lengths // 100 + draw_between(k_position, 0, tenths + int(framed))
            symbol = draw_symbols(k_symbol, (batch_size,), 0, 2)
            symbols = jnp.where(steps_at(position, steps), symbol[None, :], symbols)
            order = 2 * order + symbol
        mask = steps_at(ends - 1, steps)
        if framed:
            symbols = jnp.where(mask, END, symbols).at[0].set(START)
        inputs = one_hot(symbols, 8 if framed else 6, steps_before(ends, steps))
        return Sequences(inputs, at_all_steps(order, steps), mask)

    return Task(
        name=name,
        source="Hochreiter & Schmidhuber 1997" if framed else "Pascanu, Mikolov & Bengio 2013",
        input_size=8 if framed else 6,
        output_size=classes,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        takes_classes=True,
        chance_loss=lambda length: answers.blind_loss([1 / classes] * classes),
        chance_accuracy=1 / classes,
        solved_accuracy=0.999 if framed else 0.99,
        default_length=max(100 if framed else 50, least),
        shortest_length=least,
    )
