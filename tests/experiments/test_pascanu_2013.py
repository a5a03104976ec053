"""The study of Pascanu et al. 2013: initial weights, the plan, and a tiny study from end to end."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.pascanu_2013 import __main__ as study
from experiments.pascanu_2013 import report
from experiments.pascanu_2013.networks import INITIALISATIONS, PRESENT_DAY, initial_params, make_cell
from experiments.pascanu_2013.plan import QUICK, Budget, Recipe, Training, trainings
from experiments.pascanu_2013.train import POINTS, thinned, train
from experiments.readme_table import BEGIN, END
from rnnlm_jax import tasks
from rnnlm_jax.jobs.stopping import Stopped, StopRequest
from rnnlm_jax.sequence_model import model_for

BUDGETS = (Budget(10, 0.01, 4),)
TINY = dataclasses.replace(
    QUICK, budgets=BUDGETS, range_steps=4, adam_steps=4, check_every=2, lengths=(10,), hidden_size=4
)
NAMES = ("figure/smart-tanh-SGD-10", "figure/smart-tanh-SGD-CR-10", "range/", "today/lstm-Adam-10")


def drawn(network, hidden_size=60, seeds=4):
    """The initial parameters of several seeds, drawn as a training draws them."""
    model = model_for(tasks.make("pascanu-temporal-order"), make_cell(network, hidden_size))
    init = initial_params(network, model)
    keys = jax.random.split(jax.random.key(1), seeds)
    return jax.device_get(jax.jit(jax.vmap(init))(keys))


def is_normal(values, scale):
    """Whether independent numbers are normal with mean 0 and a standard deviation, to four standard errors."""
    values, count = np.asarray(values, np.float64).ravel() / scale, np.size(values)
    moments = [values.mean(), (values**2).mean() - 1, (values**4).mean() - 3]
    return np.all(np.abs(moments) < 4 * np.sqrt(np.asarray([1, 2, 96]) / count))


@pytest.mark.parametrize(("network", "scale"), [("sigmoid", 0.01), ("basic-tanh", 0.1), ("smart-tanh", 0.01)])
def test_initial_weights(network, scale):
    params = drawn(network)
    assert params.cell.w_x.shape == (4, 6, 60)
    assert not params.cell.b.any()
    assert not params.b.any()
    assert is_normal(params.cell.w_x, scale)
    assert is_normal(params.w, scale)
    assert len(np.unique(params.cell.w_x)) == params.cell.w_x.size
    if network != "smart-tanh":
        assert is_normal(params.cell.w_h, scale)
    assert make_cell(network, 60).spec.variant == (("activation", INITIALISATIONS[network].activation),)


def test_smart_weights_are_sparse_and_have_a_spectral_radius():
    w_h = drawn("smart-tanh").cell.w_h
    np.testing.assert_array_equal((w_h != 0).sum(axis=-1), 15)
    radii = np.abs(np.linalg.eigvals(np.asarray(w_h, np.float64))).max(axis=-1)
    np.testing.assert_allclose(radii, 0.95, rtol=1e-4)
    assert (w_h != 0).mean(axis=(0, 1)).min() > 0  # no unit is always left out
    for matrix in w_h:
        weights = matrix[matrix != 0]
        assert is_normal(weights, weights.std())
    np.testing.assert_array_equal((drawn("smart-tanh", 8).cell.w_h != 0).sum(axis=-1), 8)


def test_networks_of_today_have_initial_values_of_their_own():
    for network in PRESENT_DAY:
        model = model_for(tasks.make("pascanu-temporal-order"), make_cell(network, 5))
        assert initial_params(network, model) is None
        assert model.cell.spec.output_size == 5
    w_h = make_cell("orthogonal-tanh", 5).init(jax.random.key(0), 6).w_h
    np.testing.assert_allclose(w_h @ w_h.T, np.eye(5), atol=1e-6)
    assert make_cell("open-lstm", 5).init(jax.random.key(0), 6).b.max() == 5


def test_the_plan():
    recipe = Recipe()
    plan = trainings(recipe)
    names = [training.name for training in plan]
    assert len(set(names)) == len(names) == (12 + 6 + 6) + 1 + 10 + 16 + 10 + 4 + 4
    costs = [training.cost(recipe) for training in plan]
    assert costs == sorted(costs)
    by_name = {training.name: training.options(recipe) for training in plan}
    alone, clipped, both = (by_name[f"figure/smart-tanh-{name}-200"] for name in ("SGD", "SGD-C", "SGD-CR"))
    assert (alone.clip_norm, clipped.clip_norm, both.clip_norm) == (None, 1, 1)
    assert (alone.regularize, clipped.regularize, dict(both.regularize)["omega"]) == ((), (), 4)
    assert {each.optimizer for each in (alone, clipped, both)} == {"sgd"}
    for value in ("steps", "learning_rate"):  # all methods have the same chance
        assert {getattr(each, value) for each in (alone, clipped, both)} == {getattr(recipe.budget(200), value)}
    assert [recipe.budget(length).longest for length in (20, 50, 51, 200)] == [50, 50, 100, 200]
    sums = [each for name, each in by_name.items() if "addition" in name or "multiplication" in name]
    assert {each.steps for each in sums} == {recipe.sum_steps}
    for training in plan:
        task = tasks.make(training.task, **dict(training.task_options))
        assert task.solved_accuracy == 0.99
        assert training.options(recipe).stop_accuracy > task.solved_accuracy


def test_figures_through_training_are_kept_at_few_points():
    def record(k):
        norms = [2.0**k, None if k > 40 else 3.0]
        accuracy = [k / 100, None if k > 40 else 0.5]
        return {"sequences": 10 * k, "grad_norm": norms, "largest_grad_norm": norms, "accuracy": accuracy}

    history = tuple(record(k) for k in range(1, 61))
    trained = SimpleNamespace(history=history, seeds=(0, 1))
    found = thinned(SimpleNamespace(trained=trained))
    assert len(found["sequences"]) == 20 <= POINTS
    assert found["sequences"][:2] == [30, 60]
    assert found["grad_norm"][0] == [4, 3]  # geometric mean of 2, 4, 8
    assert found["largest_grad_norm"][0] == [8, 3]
    assert found["error"][0] == [0.97, 0.5]
    assert found["error"][-1] == [0.4, None]


@pytest.fixture
def folder(tmp_path):
    """A folder with a README to write the tables into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    return tmp_path


def run(folder, *arguments, recipe=TINY):
    return study.main(["--runs", str(folder / "runs"), *arguments], folder, recipe=recipe)


class StopAt(StopRequest):
    """A request that is made when a number of steps is done."""

    def before(self, step):
        return step > 2

    @property
    def name(self):
        return "a test"


def test_a_tiny_study_from_end_to_end(folder, monkeypatch, capsys):
    only = ("--only", ",".join(NAMES))
    monkeypatch.setattr("rnnlm_jax.sequence_model.train.BLOCK", 2)
    first = next(each for each in trainings(TINY) if each.name == NAMES[0])
    with pytest.raises(Stopped, match="after step 2"):
        train(first, TINY, folder / "runs" / "checkpoints" / first.name, stop=StopAt())
    assert run(folder, *only) == 0
    recorded = json.loads((folder / "results.json").read_text())["results"]
    assert {result["name"] for result in recorded} == {*NAMES[:2], NAMES[3], "range/smart-tanh-SGD-CR-shortest-10-10"}
    for result in recorded:
        assert result["steps"] == 4
        assert len(result["solved"]) == 2
        assert result["history"]["sequences"] == [40, 80]
        assert result["tests"]["10"]["sequences"] >= 100
        assert np.isfinite(result["history"]["grad_norm"]).all()
    whole = train(first, TINY)
    resumed = next(result for result in recorded if result["name"] == first.name)
    assert resumed["history"] == whole["history"]
    of_range = next(result for result in recorded if result["group"] == "range")
    assert list(of_range["long_tests"]) == ["10", "30"]
    assert all(0 <= error <= 1 for errors in of_range["long_tests"].values() for error in errors)
    for name in report.FIGURES:
        assert (folder / name).stat().st_size > 5000
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n**Temporal order")
    assert text.endswith(f"(error-by-length.png)\n\n{END}after\n")
    assert "| smart-tanh | SGD-CR | 0 of 2 |" in text
    assert "lstm" in capsys.readouterr().out

    def never(*arguments, **options):
        raise AssertionError("was trained again")

    monkeypatch.setattr(study, "train", never)
    assert run(folder, *only, "--no-record") == 0
    assert run(folder, *only, recipe=dataclasses.replace(TINY, omega=2.0)) == 2
    assert "has results of omega 4.0, not 2.0: give another `runs`" in capsys.readouterr().err
    assert run(folder, "--only", "figure,smarter") == 2
    assert "'smarter' is in no training's name: give a group (figure, range, tasks, today)" in capsys.readouterr().err


def test_quick_tries_one_of_each_kind():
    kept = study.choose(trainings(QUICK), None, quick=True)
    assert len(kept) == 7
    assert {(each.group, each.method) for each in kept} == {(each.group, each.method) for each in trainings(QUICK)}


def test_counts_in_words():
    result = {"solved": [True, False, True], "median_sequences_until_solved": 123_456}
    assert report.solved_words(result) == "2 of 3 (123)"
    assert report.solved_words({"solved": [False], "median_sequences_until_solved": None}) == "0 of 1"
    assert report.error_words([0.01, 0.0]) == "0.50 (0.00)"
    assert Training("figure", "sigmoid", "SGD", 50).name == "figure/sigmoid-SGD-50"
