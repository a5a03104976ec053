"""Properties that all tasks share."""

import inspect
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import tasks
from rnnlm_jax.errors import ArgumentError
from tests.tasks import every_task

KEY = jax.random.key(5)


def over(indices):
    """The decorator of a test over some cases."""
    return pytest.mark.parametrize("index", indices, ids=[every_task.label(every_task.CASES[i]) for i in indices])


cases = over(range(len(every_task.CASES)))
#: Sequences do not depend on the loss.
generators = over([i for i, (_, options, _) in enumerate(every_task.CASES) if options.get("loss") != "logistic"])


def options_of(name):
    """The parameters of a task's factory by name."""
    return inspect.signature(tasks.TASKS[name]).parameters


def few(index):
    """A task and a few of its sequences."""
    task, sequences = every_task.drawn(index)
    return task, jax.tree.map(lambda leaf: leaf[:, :6], sequences)


def test_every_task_and_each_of_its_losses_has_a_case():
    covered = {name: [options for other, options, _ in every_task.CASES if other == name] for name in tasks.names()}
    assert {name for name, _, _ in every_task.CASES} == set(tasks.names())
    for name in tasks.names():
        options = options_of(name)
        assert all(option.default is not inspect.Parameter.empty for option in options.values())
        if "loss" in options:
            default = options["loss"].default
            assert {case.get("loss", default) for case in covered[name]} == {default, "logistic"}, name


@generators
def test_a_key_fixes_the_sequences_also_under_jit_and_vmap(index):
    name, options, length = every_task.CASES[index]
    task = tasks.make(name, **options)
    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(lambda key: task.sample(key, 8, length)))(keys)
    alone = task.sample(keys[1], 8, length)
    for batched, single in zip(together, alone, strict=True):
        np.testing.assert_allclose(batched[1], single, rtol=1e-6, atol=1e-6)
    assert any(not np.array_equal(leaf[0], leaf[1]) for leaf in together)


@cases
def test_shapes_types_and_gradients_are_those_of_the_contract(index):
    task, sequences = few(index)
    inputs, targets, mask = sequences
    assert inputs.dtype == jnp.float32
    assert inputs.shape == (*mask.shape, task.input_size)
    assert mask.dtype == bool
    assert mask.shape[1] == 6
    assert mask.any(axis=0).all()
    assert targets.dtype in (jnp.int32, jnp.float32)
    assert targets.shape[:2] == mask.shape
    assert task.takes_classes == (targets.ndim == 2)

    def judged(outputs):
        mean, gradient = jax.value_and_grad(task.mean_loss)(outputs, sequences)
        further = task.mean_loss(outputs - 0.1 * gradient, sequences)
        return mean, further, gradient, task.loss(outputs, targets), task.correct(outputs, targets)

    zeros = jnp.zeros((*mask.shape, task.output_size), jnp.float32)
    mean, further, gradient, loss, right = jax.jit(judged)(zeros)
    assert mean.shape == ()
    assert loss.shape == right.shape == mask.shape
    assert loss.dtype == mean.dtype == jnp.float32
    assert right.dtype == bool
    assert np.isfinite(gradient).all()
    assert float(further) < float(mean)
    assert not np.asarray(gradient)[~np.asarray(mask)].any()


@generators
def test_nothing_is_fed_after_the_last_answer(index):
    task, sequences = every_task.drawn(index)
    if task.name == "modular-arithmetic":
        return  # an expression may end with an operator
    asked_from = np.asarray(sequences.mask)[::-1].cumsum(axis=0)[::-1] > 0
    assert not np.asarray(sequences.inputs)[~asked_from].any()


@cases
def test_right_outputs_solve_the_task(index):
    name, options, length = every_task.CASES[index]
    task, sequences = every_task.drawn(index)
    outputs = every_task.right_outputs(name, options, task, sequences)
    loss, accuracy = every_task.judge(task, outputs, sequences)
    assert accuracy == 1 >= task.solved_accuracy > task.chance_accuracy
    assert loss < task.chance_loss(length)
    assert every_task.judge(task, np.where(sequences.mask[..., None], outputs, np.nan), sequences)[1] == 1
    assert every_task.judge(task, outputs * np.nan, sequences)[1] == 0


@cases
def test_the_loss_of_an_answer_by_chance_is_as_it_says(index):
    _, options, length = every_task.CASES[index]
    task, sequences = every_task.drawn(index)
    if "strings" in options:
        return  # chance is that of the grammar, not of a few strings of it
    loss, _ = every_task.judge(task, every_task.blind_outputs(options, task, sequences), sequences)
    assert loss == pytest.approx(task.chance_loss(length), rel=0.04)


@cases
def test_no_blind_guess_is_right_more_often_than_chance(index):
    name, options, _ = every_task.CASES[index]
    task, sequences = every_task.drawn(index)
    if "strings" in options:
        return
    # answers of one sequence may depend on each other, and the best of many guesses is lucky
    error = 5 * math.sqrt(task.chance_accuracy / every_task.batch_size(name))
    best = every_task.best_blind_accuracy(name, options, task, sequences)
    assert best == pytest.approx(task.chance_accuracy, abs=error)


@generators
def test_lengths_out_of_range_are_refused(index):
    name, options, _ = every_task.CASES[index]
    task = tasks.make(name, **options)
    shortest = jax.jit(lambda key: task.sample(key, 50, task.shortest_length))(KEY)
    assert shortest.mask.any(axis=0).all()
    assert task.shortest_length <= task.default_length <= (task.longest_length or math.inf)
    for length in {0, task.shortest_length - 1}:
        with pytest.raises(ArgumentError, match="`length`"):
            task.sample(KEY, 2, length)
    if task.longest_length is not None:
        with pytest.raises(ArgumentError, match=f"`length` must be at most {task.longest_length}"):
            task.draw_test(KEY, 2, task.longest_length + 1)
    with pytest.raises(ArgumentError, match="`batch_size`"):
        task.sample(KEY, 0, task.shortest_length)


@cases
def test_equal_options_give_one_object_which_pickles(index):
    name, options, _ = every_task.CASES[index]
    task = tasks.make(name, **options)
    assert task.name == name
    assert task is tasks.make(name, **options) is pickle.loads(pickle.dumps(task))
    assert name.replace("-", "_") in tasks.__all__


@pytest.mark.parametrize("name", [name for name in tasks.names() if "shortest" in options_of(name)])
def test_sequences_have_all_lengths_from_the_shortest_on(name):
    task, other = tasks.make(name, shortest=30), tasks.make(name)
    varied, full = jax.jit(lambda key: (task.sample(key, 1500, 39).mask, other.sample(key, 200, 39).mask))(KEY)
    ends, full_ends = (len(mask) - np.asarray(mask)[::-1].argmax(axis=0) for mask in (varied, full))
    counts = np.unique(ends, return_counts=True)[1]
    assert len(counts) >= 10
    assert full_ends.min() - ends.min() == 39 - 30
    if len(counts) == 10:  # sequences have the length itself, not up to a tenth more
        assert abs(counts - 150).max() < 5 * math.sqrt(150)
    with pytest.raises(ArgumentError, match="`length` must be at least 30"):
        task.sample(KEY, 2, 29)
    with pytest.raises(ArgumentError, match="`shortest`"):
        tasks.make(name, shortest=-1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.make("parrity"), "unknown task 'parrity': choose one of "),
        (lambda: tasks.make("parity", modulus=3), "modulus"),
        (lambda: tasks.adding("nats"), "`loss` must be one of squared, logistic, not 'nats'"),
        (lambda: tasks.temporal_order("squared"), "`loss` must be one of nats, logistic, not 'squared'"),
        (lambda: tasks.temporal_order(shortest=9), "`shortest` must be 0 or at least 10"),
        (lambda: tasks.two_sequence("3d"), "`experiment` must be one of 3a, 3b, 3c"),
        (lambda: tasks.two_sequence(informative=0), "`informative`"),
        (lambda: tasks.noise_free_lag(0), "`symbols` must be a whole number of at least 1"),
        (lambda: tasks.no_regularities(1), "`symbols`"),
        (lambda: tasks.very_long_lag(5, -1), "`longest_suffix`"),
        (lambda: tasks.random_permutation(2), "`symbols`"),
        (lambda: tasks.noiseless_memorization(1), "`values`"),
        (lambda: tasks.copy_memory(items=0), "`items`"),
        (lambda: tasks.temporal_xor("squared"), "`loss`"),
        (lambda: tasks.elman_letters("squared"), "`loss`"),
        (lambda: tasks.word_boundaries("squared"), "`loss`"),
        (lambda: tasks.elman_sentences("squared"), "`loss`"),
        (lambda: tasks.flip_flop(0), "`channels`"),
        (lambda: tasks.flip_flop(pulses=0.0), "`pulses` must be a probability above 0"),
        (lambda: tasks.embedded_reber(string_seed=2), "`string_seed`.* give `strings`"),
        (lambda: tasks.embedded_reber(-1), "`strings`"),
    ],
)
def test_impossible_options_are_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
