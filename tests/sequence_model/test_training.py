"""Training of models of sequences: against a plain loop, of several seeds, stopped and resumed."""

import dataclasses
import json
import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax import cells, tasks
from rnnlm_jax.errors import ArgumentError, CheckpointError, ConfigError
from rnnlm_jax.jobs.stopping import Stopped, StopRequest
from rnnlm_jax.regularizers import make_regularizers, regularized_value_and_grad
from rnnlm_jax.sequence_model import (
    ArrayBatches,
    GeneratedBatches,
    Scores,
    SequenceData,
    SequenceTraining,
    StreamBatches,
    TaskBatches,
    TaskRun,
    model_for,
    run_task,
    score_data,
    score_task,
    scoring,
    sequence_data,
    sequence_model,
    train_sequence_model,
)
from rnnlm_jax.sequence_model.program import BATCHES, INITIAL, seed_key
from rnnlm_jax.sequence_model.train import seeds_to_run
from rnnlm_jax.unroll import unroll

PARITY = tasks.parity()
MODEL = model_for(PARITY, cells.gru(6, param_dtype="float64"))
BATCHES_OF_4 = TaskBatches(PARITY, 4, 5)
SHORT = SequenceTraining(steps=6, check_every=3, learning_rate=0.01)


def close(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, wanted)


def train(training=SHORT, **options):
    return train_sequence_model(MODEL, PARITY, BATCHES_OF_4, training, **options)


@pytest.mark.parametrize("pairs", [(), (("omega", 0.5),)])
def test_steps_are_those_of_a_plain_loop(pairs):
    trained = train(dataclasses.replace(SHORT, regularize=pairs, clip_norm=0.05, seed=3))
    optimizer = optax.chain(optax.clip_by_global_norm(0.05), optax.adam(0.01))
    params = MODEL.init(seed_key(3, INITIAL))
    state = optimizer.init(params)

    @jax.jit
    def gradient(params, step):
        key = jax.random.split(jax.random.fold_in(seed_key(3, BATCHES), step))[0]
        sequences = PARITY.sample(key, 4, 5)
        if pairs:
            return regularized_value_and_grad(
                MODEL.cell,
                params,
                MODEL.initial_state((4,)),
                sequences.inputs,
                loss=lambda params, hs: PARITY.mean_loss(hs @ params.w + params.b, sequences),
                weights=jnp.full((5, 4), 1 / 20),
                regularizers=make_regularizers(pairs),
            )[1]
        return jax.grad(
            lambda params: PARITY.mean_loss(MODEL(params, MODEL.initial_state((4,)), sequences.inputs)[1], sequences)
        )(params)

    for step in range(6):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, state = optimizer.update(gradient(params, step), state, params)
            params = optax.apply_updates(params, updates)
    close(trained.params_of(0), params)
    assert trained.steps == 6


def test_a_seed_is_trained_beside_others_as_alone():
    together = train(dataclasses.replace(SHORT, seeds=3, seed=7))
    assert together.seeds == (7, 8, 9)
    for k in range(3):
        alone = train(dataclasses.replace(SHORT, seed=7 + k))
        close(together.params_of(k), alone.params_of(0))
        assert together.history[0]["train_loss"][k] == pytest.approx(alone.history[0]["train_loss"][0], rel=1e-5)
    assert len({float(leaf) for leaf in together.params.w[:, 0, 0]}) == 3


def records(path):
    return [json.loads(line) | {"run_id": None} for line in (path / "metrics.jsonl").read_text().splitlines()]


class StopAt(StopRequest):
    """A request that is made when a number of steps is done."""

    def __init__(self, steps):
        super().__init__(lambda message: None)
        self.steps = steps

    def before(self, step):
        return step > self.steps

    @property
    def name(self):
        return "a test"


@pytest.mark.parametrize("stop_at", [2, 3, 5])
def test_a_run_that_is_stopped_goes_on_to_the_same_bits(tmp_path, stop_at, monkeypatch):
    monkeypatch.setattr("rnnlm_jax.sequence_model.train.BLOCK", 1)  # else two sizes of blocks give two programs
    training = dataclasses.replace(SHORT, seeds=2)
    whole = train(training, run=tmp_path / "whole")
    with pytest.raises(Stopped, match=f"stopped by a test after step {stop_at}, which is saved"):
        train(training, run=tmp_path / "parts", stop=StopAt(stop_at))
    parts = train(training, run=tmp_path / "parts", resume=True)
    jax.tree.map(np.testing.assert_array_equal, parts.params, whole.params)
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert len(records(tmp_path / "whole")) == 2
    assert parts.history == whole.history


def test_a_run_can_be_prolonged_but_not_changed(tmp_path):
    train(run=tmp_path / "run")
    prolonged = train(dataclasses.replace(SHORT, steps=9), run=tmp_path / "run", resume=True)
    close(prolonged.params, train(dataclasses.replace(SHORT, steps=9)).params)
    with pytest.raises(CheckpointError, match="was begun with `learning_rate` 0.01, not 0.02"):
        train(dataclasses.replace(SHORT, learning_rate=0.02), run=tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match="`batches` 4 of length 5"):
        train_sequence_model(MODEL, PARITY, TaskBatches(PARITY, 4, 6), SHORT, run=tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match="holds a run already"):
        train(run=tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds no run of a sequence model"):
        train(run=tmp_path / "other", resume=True)
    about = tmp_path / "run" / "sequence_run.json"
    about.write_text(about.read_text().replace("adam", "sgd"))
    with pytest.raises(CheckpointError, match="edited by hand"):
        train(run=tmp_path / "run", resume=True)


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(tmp_path):
    def fail(params, number, goes_on):
        raise ArgumentError("no")

    with pytest.raises(ArgumentError, match="no"):
        train(run=tmp_path / "run", check=fail)
    assert not list(tmp_path.iterdir())


def check_with(accuracies):
    """A measurement that returns these accuracies in turn."""
    found = iter(accuracies)

    def check(params, number, goes_on):
        right = np.asarray(next(found))
        return Scores(np.zeros(2), right, np.full(2, 100), 100)

    return check


def test_a_seed_that_is_accurate_enough_no_longer_changes():
    training = dataclasses.replace(SHORT, seeds=2, stop_accuracy=0.9, steps=12)
    trained = train(training, check=check_with([[50, 95], [80, 10], [90, 0]]))
    assert trained.ended_at == (9, 3)
    assert trained.steps == 9
    close(trained.params_of(1), train(dataclasses.replace(SHORT, seed=1, steps=3)).params_of(0))
    close(trained.params_of(0), train(dataclasses.replace(SHORT, steps=9)).params_of(0))
    assert [record["accuracy"] for record in trained.history] == [[0.5, 0.95], [0.8, None], [0.9, None]]
    assert trained.history[1]["train_loss"][1] is None


def test_each_seed_keeps_its_own_arrays_when_others_have_ended():
    xs = np.random.default_rng(0).normal(size=(5, 12, 1))
    objective = tasks.regression(1)
    data = sequence_data(objective, xs, np.cumsum(xs, axis=0))
    model = sequence_model(cells.gru(3, param_dtype="float64"), 1, 1)

    def trained(**changes):
        training = dataclasses.replace(SHORT, stop_accuracy=0.9, steps=9, **changes)
        check = check_with([[50, 95], [50, 0], [90, 0]]) if training.seeds == 2 else None
        return train_sequence_model(model, objective, ArrayBatches(data, 4), training, check=check)

    close(trained(seeds=2).params_of(0), trained().params_of(0))


@pytest.mark.parametrize(
    ("has_ended", "places"),
    [
        ([0, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
        ([1, 0, 0, 0, 1], [1, 2, 3]),
        ([0, 0, 0, 0, 1], [0, 1, 2, 3, 4]),
        ([0, 1, 0, 1, 1], [0, 2]),
        ([1, 1, 1, 1, 0], [4]),
        ([0, 1, 0, 0, 1, 0, 1, 1, 1, 1], [0, 1, 2, 3, 5]),
        ([0], [0]),
    ],
)
def test_steps_are_made_for_few_seeds_that_have_ended(has_ended, places):
    assert seeds_to_run(np.array(has_ended, bool)).tolist() == places


def test_a_step_that_is_not_finite_changes_nothing():
    objective = tasks.regression(1)
    model = sequence_model(cells.gru(3, param_dtype="float64"), 1, 1)

    def batches(bad):
        for k in range(4):
            numbers = np.full((2, 3, 1), np.nan if k in bad else 1.0 + k)
            yield tasks.Sequences(np.ones((2, 3, 1)), numbers, np.ones((2, 3), bool))

    def trained(steps, bad):
        training = SequenceTraining(steps=steps, seeds=2, check_every=4, optimizer="sgd")
        return train_sequence_model(model, objective, GeneratedBatches(batches(bad)), training)

    found = trained(4, {1, 3})
    assert found.skipped == (2, 2)
    assert np.isfinite(found.history[0]["train_loss"]).all()
    good = GeneratedBatches([batch for k, batch in enumerate(batches(())) if k in (0, 2)])
    training = SequenceTraining(steps=2, seeds=2, optimizer="sgd")
    close(found.params, train_sequence_model(model, objective, good, training).params)


def test_windows_of_a_stream_are_one_sequence():
    """With a learning rate near zero, the losses of the windows are those of the whole sequence."""
    objective, rng = tasks.regression(1), np.random.default_rng(0)
    model = sequence_model(cells.gru(3, param_dtype="float64"), 1, 1)
    data = sequence_data(objective, rng.normal(size=(12, 2, 1)), rng.normal(size=(12, 2)))
    training = SequenceTraining(steps=6, check_every=1, optimizer="sgd", learning_rate=1e-12)
    trained = train_sequence_model(model, objective, StreamBatches(data, 4), training)
    params = model.init(seed_key(0, INITIAL))
    hs = unroll(model.cell, params.cell, model.initial_state((2,)), data.inputs)[1]
    errors = np.square(np.asarray(hs) @ np.asarray(params.w) - np.asarray(data.targets))
    wanted = errors.reshape(3, -1).mean(axis=1)
    found = [record["train_loss"][0] for record in trained.history]
    np.testing.assert_allclose(found, [*wanted, *wanted], rtol=1e-5)


def test_a_model_learns_arrays_of_ones_own():
    """Classes by the sign of the mean, of sequences of several lengths."""
    rng = np.random.default_rng(0)
    xs, lengths = rng.normal(size=(8, 400, 1)), rng.integers(2, 9, size=400)
    classes = np.asarray([int(xs[:length, n].mean() > 0) for n, length in enumerate(lengths)])
    objective = tasks.classification(1, 2)
    data = sequence_data(objective, xs, classes, lengths=lengths)
    model = model_for(objective, cells.gru(8))
    training = SequenceTraining(steps=400, check_every=400, learning_rate=0.01, seeds=2)
    trained = train_sequence_model(
        model,
        objective,
        ArrayBatches(data, 40),
        training,
        check=lambda params, number, goes_on: score_data(model, objective, params, data),
    )
    assert min(trained.history[-1]["accuracy"]) > 0.93


def test_a_given_optimiser_and_given_initial_parameters():
    def init(key):
        return jax.tree.map(jnp.zeros_like, MODEL.init(key))

    trained = train(dataclasses.replace(SHORT, steps=1), optimizer=optax.sgd(0.5), init=init)
    zeros = init(seed_key(0, INITIAL))
    key = jax.random.split(jax.random.fold_in(seed_key(0, BATCHES), 0))[0]
    sequences = PARITY.sample(key, 4, 5)
    shares = np.asarray(jax.nn.one_hot(sequences.targets, 2)).mean(axis=(0, 1))
    np.testing.assert_allclose(trained.params_of(0).b, 0.5 * (shares - 0.5), rtol=1e-12)
    close(trained.params_of(0).cell, zeros.cell)


def params_of_seeds(seeds):
    return jax.vmap(MODEL.init)(jnp.stack([jax.random.key(seed) for seed in seeds]))


def test_scores_are_those_of_all_sequences_at_once(monkeypatch):
    params = params_of_seeds((0, 1))
    data = SequenceData(*PARITY.sample(jax.random.key(5), 10, 6))
    found = score_data(MODEL, PARITY, params, data)
    monkeypatch.setattr(scoring, "OUTPUT_BYTES", 3 * 4 * 2 * 6 * 6)  # three sequences at once
    parts = score_data(MODEL, PARITY, params, data)
    np.testing.assert_allclose(parts.loss, found.loss, rtol=1e-12)
    assert parts.right.tolist() == found.right.tolist()
    for k in range(2):
        outputs = MODEL(jax.tree.map(operator.itemgetter(k), params), MODEL.initial_state((10,)), data.inputs)[1]
        assert found.accuracy[k] == pytest.approx(float(PARITY.accuracy(outputs, data.sequences())), rel=1e-6)
        assert found.loss[k] == pytest.approx(float(PARITY.mean_loss(outputs, data.sequences())), rel=1e-6)
    scored = score_task(MODEL, PARITY, params, seeds=(0, 1), length=6, count=10)
    assert (scored.sequences, scored.judged.tolist()) == (12, [72, 72])


@pytest.mark.parametrize(("inputs", "outputs"), [(1000, 2), (2, 1000)])
def test_parts_are_small_where_inputs_or_outputs_are_wide(inputs, outputs):
    """Symbols are fed as vectors of 4, so that neither the cell nor its inputs are wide."""
    model = sequence_model(cells.elman(4), inputs, outputs, embedding_size=4)
    parts, size = scoring._parts(model, seeds=10, steps=2000, count=10_000)
    assert parts * size >= 10_000
    assert 10 * 2000 * 1000 * 4 * size <= scoring.OUTPUT_BYTES


def test_tests_draw_other_sequences_for_each_seed_and_number():
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), MODEL.init(jax.random.key(0)))
    first, again, other = (
        score_task(MODEL, PARITY, params, seeds=(0, 1), length=6, count=50, draw=draw).loss for draw in (0, 0, 1)
    )
    assert first.tolist() == again.tolist()
    assert len({*first, *other}) == 4


def test_a_task_is_trained_until_it_is_solved_and_tested_at_other_lengths():
    model = model_for(PARITY, cells.lstm(16))
    training = SequenceTraining(steps=3000, seeds=2, check_every=50, learning_rate=0.01)
    result = run_task(model, PARITY, TaskRun(length=6, test_lengths=(9, 6), test_sequences=300), training)
    assert result.solved == (True, True)
    assert list(result.tests) == [6, 9]
    summary = json.loads(json.dumps(result.summary()))
    counts = summary["sequences_until_solved"]
    assert summary["success"] == 1
    assert [count // 32 for count in counts] == list(result.trained.ended_at)
    assert summary["median_sequences_until_solved"] == np.median(counts)
    assert max(summary["tests"]["6"]["error"]) <= 0.1 >= 1 - PARITY.solved_accuracy
    assert summary["tests"]["9"]["sequences"] == 300
    again = run_task(model, PARITY, TaskRun(length=6, test_sequences=300, stop_when_solved=False), SHORT)
    assert again.trained.steps == 6
    assert again.sequences_until_solved == (None,)


def test_few_sequences_do_not_end_a_training():
    """A measurement of one sequence is right half of the time; the test that follows it is not."""

    def sample(key, batch_size, length):
        guess = jax.random.randint(jax.random.fold_in(key, 1), (length, batch_size), 0, 2, jnp.int32)
        return PARITY.sample(key, batch_size, length)._replace(targets=guess)

    task = dataclasses.replace(PARITY, sample=sample)
    training = SequenceTraining(steps=20, check_every=1, check_sequences=1, learning_rate=1e-6)
    result = run_task(MODEL, task, TaskRun(length=1, test_sequences=500, batch_size=1), training)
    found = [record["accuracy"][0] for record in result.trained.history]
    assert result.trained.steps == 20
    assert 0 in found and 0 < max(found) < 0.9  # those of one sequence, and of 500 where that one was right


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"steps": 0}, ConfigError, "`steps` must be a positive whole number"),
        ({"seeds": 2.0}, ConfigError, "`seeds` must be a positive whole number"),
        ({"seed": -1}, ConfigError, "`seed` must be a whole number"),
        ({"clip_norm": 0}, ConfigError, "`clip_norm` must be a positive number"),
        ({"stop_accuracy": 1.5}, ConfigError, "`stop_accuracy` must be above 0"),
        ({"optimizer": "adamm"}, ConfigError, "adamm"),
        ({"schedule": "cosin"}, ConfigError, "cosin"),
        ({"regularize": (("omegga", 1),)}, ConfigError, "omegga"),
    ],
)
def test_impossible_options(change, error, message):
    with pytest.raises(error, match=message):
        train(dataclasses.replace(SHORT, **change))


def test_lengths_that_are_too_short():
    task = dataclasses.replace(PARITY, shortest_length=4)
    with pytest.raises(ArgumentError, match="`length` must be at least 4"):
        run_task(MODEL, task, TaskRun(length=3), SHORT)
    with pytest.raises(ArgumentError, match="`test_lengths` must be at least 4"):
        run_task(MODEL, task, TaskRun(length=4, test_lengths=(2,)), SHORT)
