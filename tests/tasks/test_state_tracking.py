"""The answers of state-tracking tasks are those of plain Python, and an answer by chance is as good as they say."""

import dataclasses
import math
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import tasks
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.tasks import Judged, Sequences
from rnnlm_jax.tasks.state_tracking import values

TASKS = {name: tasks.make(name) for name in ("parity", "modular-arithmetic", "cycle-navigation")}
KEY = jax.random.key(0)


def symbols_of(sequences):
    """The symbols ``[T, B]`` of one-hot inputs."""
    inputs = np.asarray(sequences.inputs)
    assert (inputs.sum(axis=-1) == 1).all()
    assert set(np.unique(inputs)) <= {0.0, 1.0}
    return inputs.argmax(axis=-1)


def evaluated(symbols):
    """The value of an expression of symbols 0 … 4 and ``+ - *`` modulo 5, by Python."""
    expression = "".join(str(symbol) if symbol < 5 else "+-*"[symbol - 5] for symbol in symbols)
    assert re.fullmatch(r"\d([-+*]\d)*", expression)
    return eval(expression) % 5


ANSWERS = {
    "parity": lambda prefix: str(prefix.tolist()).count("1") % 2,
    "cycle-navigation": lambda prefix: sum(int(symbol) - 1 for symbol in prefix) % 5,
    "modular-arithmetic": evaluated,
}


@pytest.mark.parametrize("name", TASKS)
def test_the_answers_are_those_of_plain_python(name):
    sequences = TASKS[name].sample(KEY, 30, 24)
    symbols, mask = symbols_of(sequences), np.asarray(sequences.mask)
    assert sequences.inputs.shape == (24, 30, TASKS[name].input_size)
    assert sequences.targets.dtype == jnp.int32
    for t, b in np.argwhere(mask):
        assert sequences.targets[t, b] == ANSWERS[name](symbols[: t + 1, b])
    asked = range(0, 24, 2) if name == "modular-arithmetic" else range(24)
    assert mask.all(axis=1).nonzero()[0].tolist() == list(asked)
    assert mask.sum() == 30 * len(asked)


@pytest.mark.parametrize(
    ("expression", "value"),
    [("1+2*3", 2), ("1-1-1", 4), ("0*1+4*3-2", 0), ("4-3*4*2", 0), ("2-0*3", 2)],
)
def test_expressions_of_the_paper_have_its_values(expression, value):
    symbols = jnp.asarray([["01234+-*".index(character)] for character in expression], jnp.int32)
    assert values(symbols, 5)[-1].tolist() == [value]


@pytest.mark.parametrize("name", TASKS)
def test_a_key_fixes_the_sequences(name):
    one, same, other = (TASKS[name].sample(jax.random.key(seed), 8, 9) for seed in (3, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.array_equal(one.inputs, other.inputs)


@pytest.mark.parametrize("name", TASKS)
def test_symbols_are_equally_likely(name):
    symbols = symbols_of(TASKS[name].sample(KEY, 2000, 10))
    parts = [symbols[::2], symbols[1::2]] if name == "modular-arithmetic" else [symbols]
    for part in parts:
        kinds, counts = np.unique(part, return_counts=True)
        expected = part.size / len(kinds)
        assert abs(counts - expected).max() < 5 * math.sqrt(expected)


@pytest.mark.parametrize("name", TASKS)
def test_no_blind_answer_is_better_than_chance_in_long_sequences(name):
    task = TASKS[name]
    sequences = task.sample(KEY, 4000, 151)
    last = np.bincount(np.asarray(sequences.targets[-1]), minlength=task.output_size) / 4000
    error = 5 * math.sqrt(task.chance_accuracy / 4000)
    assert last == pytest.approx(task.chance_accuracy, abs=error)
    few = jax.tree.map(lambda leaf: leaf[:, :20], sequences)
    outputs = jnp.zeros((151, 20, task.output_size), jnp.float32)
    assert float(task.mean_loss(outputs, few)) == pytest.approx(task.chance_loss(151), rel=1e-5)
    assert task.scaled_accuracy(task.chance_accuracy) == 0
    assert task.scaled_accuracy(1.0) == 1


@pytest.mark.parametrize("name", TASKS)
def test_right_outputs_solve_the_task(name):
    task = TASKS[name]
    sequences = task.sample(KEY, 50, 12)
    outputs = 50 * jax.nn.one_hot(sequences.targets, task.output_size, dtype=jnp.float32)
    assert float(task.accuracy(outputs, sequences)) == 1 >= task.solved_accuracy
    assert float(task.mean_loss(outputs, sequences)) < 1e-6
    assert float(task.accuracy(-outputs, sequences)) == 0
    by_step, asked = task.accuracy_by_step(outputs, sequences)
    assert by_step.tolist() == sequences.mask.all(axis=1).astype(int).tolist()
    assert asked.tolist() == sequences.mask.sum(axis=1).tolist()


def test_what_is_not_asked_does_not_count():
    """Outputs that are NaN are wrong where an answer is asked, and of no consequence elsewhere."""
    task = tasks.parity()
    targets, mask = jnp.asarray([[1], [0], [1]], jnp.int32), jnp.asarray([[True], [False], [True]])
    sequences = Sequences(jnp.zeros((3, 1, 2), jnp.float32), targets, mask)
    outputs = jnp.asarray([[[0, 1]], [[jnp.nan, 0]], [[1, 0]]], jnp.float32)
    expected = (-1 - 0 + 2 * math.log(1 + math.e)) / 2  # one answer is right by 1, and the other wrong by 1
    assert float(task.mean_loss(outputs, sequences)) == pytest.approx(expected, rel=1e-6)
    assert float(task.accuracy(outputs, sequences)) == 0.5
    assert float(task.accuracy(outputs * jnp.float32(jnp.nan), sequences)) == 0
    gradient = jax.grad(lambda outputs: task.mean_loss(outputs, sequences))(outputs)
    assert np.isfinite(gradient[mask]).all()


def test_a_prefix_is_a_shorter_sequence():
    """The answers up to a step do not depend on what follows: one unroll asks about every length."""
    for task in TASKS.values():
        symbols = task.sample(KEY, 5, 20).inputs.argmax(axis=-1).astype(jnp.int32)
        if task.name == "modular-arithmetic":
            np.testing.assert_array_equal(values(symbols, 5)[:11], values(symbols[:11], 5))


def test_tasks_are_one_object_and_pickle():
    assert tasks.modular_arithmetic() is tasks.make("modular-arithmetic", modulus=5)
    assert tasks.modular_arithmetic(3) is not tasks.modular_arithmetic()
    assert pickle.loads(pickle.dumps(tasks.parity())) is tasks.parity()
    assert tasks.modular_arithmetic(3).input_size == 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.modular_arithmetic(1), "`modulus` must be a whole number of at least 2"),
        (lambda: tasks.cycle_navigation(0), "`cycle_length` must be a whole number of at least 2"),
        (lambda: tasks.parity().sample(KEY, 0, 5), "`batch_size` must be a positive whole number"),
        (lambda: tasks.parity().sample(KEY, 5, 0), "`length` must be a positive whole number"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_a_sequence_is_right_if_all_its_answers_are():
    task = dataclasses.replace(tasks.parity(), judged=Judged.SEQUENCES)
    targets, mask = jnp.asarray([[1, 1, 1], [0, 0, 0]], jnp.int32), jnp.asarray([[1, 1, 0], [1, 0, 0]], bool)
    sequences = Sequences(jnp.zeros((2, 3, 2), jnp.float32), targets, mask)
    outputs = jax.nn.one_hot(jnp.ones((2, 3), jnp.int32), 2, dtype=jnp.float32)  # class 1 is right at the first step
    assert [int(count) for count in task.count_right(outputs, sequences)] == [1, 2]
    assert float(task.accuracy(outputs, sequences)) == 0.5
    assert [int(count) for count in tasks.parity().count_right(outputs, sequences)] == [2, 3]
