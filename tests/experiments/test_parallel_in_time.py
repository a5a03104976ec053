"""The study of running over time in parallel: costs by formula, laws on known counts, and the record of tiny runs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.parallel_in_time import __main__ as study
from experiments.parallel_in_time import timing
from experiments.parallel_in_time.cost import newton_cost, scan_cost
from experiments.parallel_in_time.iterations import BLOCKS, DIAGONAL, iterations_by_length, most_iterations
from experiments.parallel_in_time.law import exponent_of_growth, growth
from experiments.parallel_in_time.recipe import Recipe
from experiments.readme_table import BEGIN, END
from rnnlm_jax import cells
from tests.training.tiny import text

LENGTHS = (10, 20)


def tiny(folder):
    return Recipe(
        units=12,
        gains=(0.3, 5.0),
        lengths=LENGTHS,
        most_iterations=9,
        exponent_steps=200,
        corpus=str(folder / "text.txt"),
        cells=("mingru",),
        text_lengths=(12,),
        training_steps=3,
        memory_length=8,
        timed_lengths=(4,),
        repeats=1,
    )


@pytest.fixture
def folder(tmp_path):
    """A folder with a text, and a README to write the tables into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}{END}after\n")
    (tmp_path / "text.txt").write_text(text(40))
    return tmp_path


def run(folder, *arguments, runs="runs"):
    return study.main(["--runs", str(folder / runs), *arguments], folder, recipe=tiny(folder))


def test_parts_are_recorded_and_not_run_again(folder, monkeypatch, capsys):
    monkeypatch.setattr(study.cost, "MEASURED", {"mingru": "associative"})
    with jax.enable_x64(False):
        assert run(folder) == 0
    found = json.loads((folder / "results.json").read_text())
    contracting, chaotic = found["random"]
    assert contracting["exponent"] < -0.5
    assert [point["steps"] for point in contracting[BLOCKS]] == list(LENGTHS)
    for point in contracting[BLOCKS]:
        assert point["converged"] and point["iterations"] <= 4
        assert point["difference"] < 1e-5
    assert chaotic["exponent"] > 0
    assert not chaotic[DIAGONAL][-1]["converged"]
    assert chaotic[DIAGONAL][-1]["iterations"] == 9
    assert chaotic[DIAGONAL][-1]["difference"] == 0  # the scan took over
    (mingru,) = found["text"]
    assert (mingru["state_size"], mingru["block_size"]) == (12, 1)
    for when in ("initial", "trained"):
        assert all(point["iterations"] <= 2 for point in mingru[when][BLOCKS])
    (sizes,) = (part["bytes"] for part in found["memory"])
    assert sizes.keys() >= {"scan", "associative", "associative, one chunk"}
    assert all(size > 0 for size in sizes.values())
    assert found["times"] == []
    assert str(folder) not in json.dumps(found)
    readme = (folder / "README.md").read_text()
    assert "| 0.3 | " in readme and "falls back (9)" in readme
    for name in ("gains", "lengths", "text"):
        assert (folder / f"{name}.png").stat().st_size > 5000

    def never(*arguments, **options):
        raise AssertionError("was run again")

    monkeypatch.setattr(study.gains, "of_gain", never)
    monkeypatch.setattr(study.text, "of_cell", never)
    monkeypatch.setattr(study.cost, "memory", never)
    assert run(folder) == 0
    assert json.loads((folder / "results.json").read_text()) == found
    capsys.readouterr()
    assert run(folder, "--corpus", "other.txt") == 2
    assert "has results of corpus text.txt, not other.txt" in capsys.readouterr().err


def test_times_are_added_to_the_record(folder, monkeypatch):
    kept = [{"cell": "gru", "units": 3, "steps": 8, "bytes": {"scan": 2**20}}]
    (folder / "results.json").write_text(json.dumps({"random": [], "text": [], "memory": kept}))
    monkeypatch.setattr(timing, "cases", lambda recipe: [timing.Case("mingru", 4, 4, "forward+backward")])
    with jax.enable_x64(False):
        assert run(folder, "--time") == 0
    case = json.loads((folder / "runs" / "times" / "mingru-4-4-forward+backward.json").read_text())
    assert case["seconds"].keys() == {"scan", "structured", "associative", "associative-backward", "default"}
    assert all(0 < each["lower"] <= each["median"] <= each["upper"] for each in case["seconds"].values())
    assert case["environment"]["processor"]
    assert json.loads((folder / "results.json").read_text()) == {
        "random": [],
        "text": [],
        "memory": kept,
        "times": [case],
    }
    readme = (folder / "README.md").read_text()
    assert "| gru | scan | 1.0 |" in readme
    assert "| mingru, H = 4 | 4 | forward+backward | " in readme


def test_a_linear_recurrence_needs_one_iteration_of_a_chaotic_one_as_many_as_steps():
    recipe = Recipe(most_iterations=100)
    found = {}
    for name in ("linear", "elman-tanh"):
        cell = cells.make(name, 4)
        params = cell.init(jax.random.key(0), 4)
        params = params._replace(w_h=params.w_h * (0.5 if name == "linear" else 30.0))
        xs = jnp.asarray(np.random.default_rng(0).normal(size=(12, 4)), jnp.float32)
        (found[name],) = iterations_by_length(
            cell, params, xs, (12,), recipe=recipe, jacobian=BLOCKS, advance=lambda count: None
        )
    assert found["linear"]["iterations"] <= 2
    assert 4 <= found["elman-tanh"]["iterations"] <= 12
    assert all(point["converged"] for point in found.values())


def test_the_most_iterations_keep_within_the_work():
    recipe, cell = Recipe(most_iterations=500, most_work=1e6), cells.make("elman-tanh", 10)
    assert most_iterations(cell, 5, BLOCKS, recipe) == 5
    assert most_iterations(cell, 100, BLOCKS, recipe) == 10  # 10 · 100 · 10³
    assert most_iterations(cell, 100, DIAGONAL, recipe) == 100
    assert most_iterations(cell, 10**9, BLOCKS, recipe) == 1


def test_the_costs_by_hand():
    assert scan_cost(100, 3, gates=2) == (1800, 100, 300)
    dense = newton_cost(64, 2, iterations=3, m=2, chunk=64)
    assert dense == (3 * 64 * (4 + 4 + 4 * 6), 3 * 13, 64 * 2 + 2 * 64 * 4)
    chunks = newton_cost(64, 2, iterations=3, m=2, chunk=16)
    assert (chunks.work, chunks.depth, chunks.memory) == (dense.work, 3 * 4 * 9, 64 * 2 + 2 * 16 * 4)


def test_the_laws_of_known_counts():
    def points(counts):
        return [{"steps": 10**k, "iterations": c, "converged": c < 99} for k, c in enumerate(counts, 2)]

    line = growth(points([4, 6, 8]))
    assert line is not None
    assert (line.first, line.each, line.largest_error) == pytest.approx((4, 2, 0))
    assert growth(points([4, 6, 99])) is None
    assert exponent_of_growth(points([3, 30, 99])) == pytest.approx(1)
    assert exponent_of_growth(points([5, 5, 5])) == 0
    assert exponent_of_growth(points([5, 99])) is None
