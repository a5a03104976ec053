"""The embedded Reber grammar: predict the next symbol, the last but one from memory of the second.

Hochreiter & Schmidhuber (1997), section 5.1, experiment 1, after Smith & Zipser (1989), Cleeremans et al. (1989) and
Fahlman (1991).
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import check_count, class_answers
from rnnlm_jax.tasks.drawing import draw_rows, one_hot
from rnnlm_jax.tasks.objective import Judged, Sequences
from rnnlm_jax.tasks.task import SampleFn, Task, check_sample_sizes

SYMBOLS = "BTPSXVE"
#: The Reber grammar: state -> (symbol, next state); from state 6, E ends it.
REBER = (("B1",), ("T2", "P3"), ("S2", "X4"), ("T3", "V5"), ("X3", "S6"), ("P4", "V6"))
#: The shortest strings have nine symbols, the last of which is not read.
SHORTEST = 8
#: One string in 25,000 has more symbols to read.
DEFAULT_LENGTH = 40
#: The probability of the likeliest strings, BTBTXSETE and its like, of which a blind guess can have one right.
LIKELIEST = 1 / 16


class Grammar(NamedTuple):
    """An automaton that writes strings; two edges leave each state, which may be the same one twice."""

    symbols: Int[np.ndarray, "S 2"]
    """The symbol that an edge writes."""
    successors: Int[np.ndarray, "S 2"]
    """The state that it leads to; the last state is the end, and leads to itself."""


@functools.cache
def embedded_grammar() -> Grammar:
    """Return the embedded grammar: ``B T reber T E`` or ``B P reber P E``, each with probability ½."""
    edges: list[list[tuple[str, int]]] = [[("B", 1)], [("T", 2), ("P", 10)]]
    for branch, letter in ((2, "T"), (10, "P")):  # six states of the Reber grammar, its end, and one more
        edges += [[(edge[0], branch + int(edge[1])) for edge in state] for state in REBER]
        edges += [[("E", branch + 7)], [(letter, 18)]]
    edges += [[("E", 19)], [("E", 19)]]
    both = [state * (2 // len(state)) for state in edges]
    symbols = [[SYMBOLS.index(symbol) for symbol, _ in state] for state in both]
    return Grammar(np.array(symbols, np.int32), np.array([[to for _, to in state] for state in both], np.int32))


@cached_factory
def embedded_reber(strings: int = 0, string_seed: int = 0, loss: str = "nats") -> Task:
    """Return experiment 1: after each symbol of a string, the next one.

    Each edge of the grammar has probability ½. ``length`` is the most symbols that a string may have before its last
    one, E; strings are drawn given that they have no more. Targets are ``[T, B, 8]``: the next symbol, the only one
    that the loss reads, and for each of the seven symbols whether the grammar allows it. A string is right if at every
    step the outputs of all symbols that may follow are larger than those of all others: so both the grammar and the
    second symbol are learnt.

    The paper asks for all strings of two fixed sets, one of training and one of tests. With ``strings``, the task is
    that one: solved is every string of a test. Without, strings are drawn anew, and solved is 99 % of them.

    Args:
        strings: the strings of each of the two sets, 256 in the paper: training draws from the one, with replacement;
            tests go through the other, in which no string of the first is. Both may have a string twice. 0: none.
        string_seed: which sets; for ``strings`` only.
        loss: "nats" of a softmax, or "logistic": logistic outputs with half the squared error, as published.

    Raises:
        ArgumentError: for a negative number, a seed without ``strings``, or another loss.
    """
    check_count("strings", strings, least=0)
    if check_count("string_seed", string_seed, least=0) and not strings:
        raise ArgumentError("`string_seed` chooses among fixed strings: give `strings`, such as 256, as well")
    answers = class_answers(loss)
    sample, test_sample, shortest = _draw_strings, None, SHORTEST
    if strings:
        rng = np.random.default_rng(string_seed)
        train = [_write(rng, DEFAULT_LENGTH) for _ in range(strings)]
        test: list[str] = []
        while len(test) < strings:
            string = _write(rng, DEFAULT_LENGTH)
            test += [string] * (string not in train)
        shortest = max(map(len, train + test)) - 1
        sample = _from_set(train, shortest, in_order=False)
        test_sample = _from_set(test, shortest, in_order=True)

    def loss_of_next(outputs: Float[Array, "*B 7"], targets: Int[Array, "*B 8"]) -> Float[Array, "*B"]:
        return answers.loss(outputs, targets[..., 0])

    return Task(
        name="embedded-reber",
        source="Hochreiter & Schmidhuber 1997",
        input_size=len(SYMBOLS),
        output_size=len(SYMBOLS),
        sample=sample,
        loss=loss_of_next,
        correct=legal_are_largest,
        chance_loss=lambda length: _chance_loss(length, answers.blind_loss),
        chance_accuracy=LIKELIEST,
        solved_accuracy=1.0 if strings else 0.99,
        judged=Judged.SEQUENCES,
        default_length=DEFAULT_LENGTH,
        shortest_length=shortest,
        test_sample=test_sample,
        test_size=strings or None,
    )


def legal_are_largest(outputs: Float[Array, "*B 7"], targets: Int[Array, "*B 8"]) -> Bool[Array, "*B"]:
    """Return whether all symbols that may follow have larger outputs than all others; not finite ones are wrong."""
    legal = targets[..., 1:] == 1
    least_legal = jnp.where(legal, outputs, jnp.inf).min(axis=-1)
    greatest_illegal = jnp.where(legal, -jnp.inf, outputs).max(axis=-1)
    return (least_legal > greatest_illegal) & jnp.isfinite(outputs).all(axis=-1)


@functools.cache
def _first_edge(length: int) -> Float[np.ndarray, "T1 S"]:
    """Return the probability of the first edge of each state at each symbol, given at most ``length + 1`` symbols."""
    _, successors = embedded_grammar()
    end = len(successors) - 1
    ends_in_time = (np.arange(end + 1) == end).astype(float)  # the probability to end with no more symbols
    table = []
    for _ in range(length + 1):
        by_edge = ends_in_time[successors] / 2
        ends_in_time = by_edge.sum(axis=1)
        table.append(np.divide(by_edge[:, 0], ends_in_time, out=np.full(end + 1, 0.5), where=ends_in_time > 0))
    return np.array(table[::-1])


def _draw_strings(key: Key, batch_size: int, length: int) -> Sequences:
    """Return new strings of the grammar."""
    check_sample_sizes(batch_size, length, shortest=SHORTEST)
    symbols, successors = map(jnp.asarray, embedded_grammar())
    chances = jax.random.uniform(key, (length + 1, batch_size), jnp.float32)

    def write(states: Array, step: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        chance, first_edge = step
        edges = (chance >= first_edge[states]).astype(jnp.int32)
        after = successors[states, edges]
        return after, (symbols[states, edges], after)

    table = jnp.asarray(_first_edge(length), jnp.float32)
    _, (written, states) = jax.lax.scan(write, jnp.zeros(batch_size, jnp.int32), (chances, table))
    return _sequences(written, states[:-1])


def _write(rng: np.random.Generator, length: int) -> str:
    """Return a string of at most ``length + 1`` symbols."""
    symbols, successors = embedded_grammar()
    while True:
        string, state = "", 0
        while state != len(successors) - 1:
            edge = rng.integers(2)
            string, state = string + SYMBOLS[symbols[state, edge]], successors[state, edge]
        if len(string) <= length + 1:
            return string


def _from_set(strings: list[str], shortest: int, *, in_order: bool) -> SampleFn:
    """Return a generator that draws from fixed strings: with replacement, or all in turn, in random order."""
    symbols, successors = embedded_grammar()
    end = len(successors) - 1
    written = np.full((len(strings), shortest + 1), SYMBOLS.index("E"), np.int32)
    states = np.full((len(strings), shortest + 1), end, np.int32)
    for row, string in enumerate(strings):
        state = 0
        for step, symbol in enumerate(string):
            written[row, step] = SYMBOLS.index(symbol)
            state = states[row, step] = successors[state, symbols[state].tolist().index(written[row, step])]

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length, shortest=shortest)
        rows = draw_rows(key, batch_size, len(strings), in_order=in_order)
        longer = ((0, 0), (0, length - shortest))
        chosen = jnp.asarray(np.pad(written, longer, constant_values=SYMBOLS.index("E")))[rows]
        after = jnp.asarray(np.pad(states, longer, constant_values=end))[rows]
        return _sequences(chosen.T, after.T[:-1])

    return sample


def _sequences(written: Int[Array, "T1 B"], states: Int[Array, "T B"]) -> Sequences:
    """Return sequences of the symbols written, with the state after each."""
    symbols, _ = embedded_grammar()
    legal = np.zeros((len(symbols), len(SYMBOLS)), np.int32)
    legal[np.arange(len(symbols))[:, None], symbols] = 1
    mask = states != len(symbols) - 1
    targets = jnp.concatenate([written[1:, :, None], jnp.asarray(legal)[states]], axis=-1)
    return Sequences(one_hot(written[:-1], len(SYMBOLS), mask), targets, mask)


def _chance_loss(length: int, blind_loss: Callable[[Sequence[float]], float]) -> float:
    """Return the mean loss of the best answer that knows how many symbols were read, but not which."""
    symbols, successors = embedded_grammar()
    end = len(symbols) - 1
    states = (np.arange(end + 1) == 0).astype(float)
    total = asked = 0.0
    for step, first_edge in enumerate(_first_edge(length)):
        by_edge = states[:, None] * np.stack([first_edge, 1 - first_edge], axis=1)
        if step:
            goes_on = by_edge[:end]
            probs = np.bincount(symbols[:end].ravel(), goes_on.ravel(), minlength=len(SYMBOLS))
            asked += probs.sum()
            total += probs.sum() * blind_loss((probs / probs.sum()).tolist())
        states = np.bincount(successors.ravel(), by_edge.ravel(), minlength=end + 1)
    return total / asked
