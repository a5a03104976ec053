"""Temporal order: positions, symbols and classes of drawn sequences, read one by one."""

import itertools

import numpy as np
import pytest

from rnnlm_jax import tasks
from tests.tasks.reading import assert_uniform, draw, last_asked, symbols_of

ORDERS = {count: ["".join(order) for order in itertools.product("XY", repeat=count)] for count in (2, 3)}


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("temporal-order", [(10, 21), (50, 61)]),
        ("temporal-order-3", [(10, 21), (33, 44), (66, 77)]),
        ("pascanu-temporal-order", [(10, 20), (50, 60)]),
        ("pascanu-temporal-order-3", [(10, 20), (30, 40), (60, 70)]),
    ],
)
def test_marked_symbols_are_in_their_windows_and_say_the_class(name, windows):
    is_pascanu = name.startswith("pascanu")
    sequences = draw(tasks.make(name), 2000, 100)
    symbols, ends = symbols_of(sequences), last_asked(sequences)
    positions, orders = [], []
    for column, end, answer in zip(symbols.T, ends, sequences.targets[ends, range(2000)], strict=True):
        text = "".join("XYabcdEB"[symbol] for symbol in column[: end + 1])
        assert (column[end + 1 :] == -1).all()
        middle = text if is_pascanu else text[1:-1]
        assert is_pascanu or text[0] + text[-1] == "EB"
        assert set(middle) <= set("XYabcd")
        positions.append([place for place, letter in enumerate(text) if letter in "XY"])
        orders.append("".join(letter for letter in text if letter in "XY"))
        assert orders[-1] == ORDERS[len(windows)][answer]
    for (low, high), drawn in zip(windows, np.transpose(positions), strict=True):
        assert_uniform(drawn, low, high)
    assert_uniform(ends, *((99, 100) if is_pascanu else (99, 110)))
    assert_uniform([ORDERS[len(windows)].index(order) for order in orders], 0, 2 ** len(windows))
    assert_uniform(symbols[(symbols >= 2) & (symbols <= 5)], 2, 6)


def test_windows_go_with_the_length_of_each_sequence():
    sequences = draw(tasks.pascanu_temporal_order(shortest=20), 3000, 59)
    for column, end in zip(symbols_of(sequences).T, last_asked(sequences), strict=True):
        first, second = np.flatnonzero((column == 0) | (column == 1))
        length = end + 1
        assert length // 10 <= first < 2 * (length // 10)
        assert length // 2 <= second < length // 2 + length // 10


def test_hochreiters_answer_must_be_within_the_tolerance_in_every_output():
    outputs = np.log([[[0.71, 0.29, 1e-9, 1e-9], [0.69, 0.31, 1e-9, 1e-9]]]).astype(np.float32)
    targets = np.zeros((1, 2), np.int32)
    assert tasks.temporal_order().correct(outputs, targets).tolist() == [[True, False]]
    odds = np.array([[[0.71, 0.29, 0.29, 0.29], [0.9, 0.31, 0.1, 0.1]]])
    logistic = tasks.temporal_order("logistic")
    assert logistic.correct(np.log(odds / (1 - odds)).astype(np.float32), targets).tolist() == [[True, False]]
    loss = logistic.loss(np.log(odds / (1 - odds)).astype(np.float32), targets)
    np.testing.assert_allclose(loss, ((odds - [1, 0, 0, 0]) ** 2).sum(axis=-1) / 2, rtol=1e-5)
