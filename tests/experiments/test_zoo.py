"""The study of all cells as language models: sizes by counting, runs that are resumed, and the record."""

import dataclasses
import json

import jax
import pytest

from experiments.every_cell import smallest_multiple
from experiments.readme_table import BEGIN, END
from experiments.zoo import __main__ as study
from experiments.zoo import measure
from experiments.zoo.measure import Recipe, configuration
from experiments.zoo.sizes import FEWEST, model_size, nearest_size
from rnnlm_jax import cells
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jobs.run_folder import RunFolder, build_model
from rnnlm_jax.language_model.parameters import parameter_count
from tests.training.tiny import text


@pytest.mark.parametrize("name", cells.names())
def test_every_cell_has_the_wanted_number_of_parameters(name):
    """At the size of the study; a number of units is the only freedom, so that a unit more or less is further off."""
    recipe = Recipe()
    model = configuration(name, recipe, 10_000).model
    size, multiple = model_size(model, 10_000), smallest_multiple(name)
    assert model.hidden_size % multiple == 0
    for units in (model.hidden_size - multiple, model.hidden_size + multiple):
        other = model_size(dataclasses.replace(model, hidden_size=units), 10_000)
        assert abs(other - recipe.parameters) >= abs(size - recipe.parameters)
    assert size == pytest.approx(recipe.parameters, rel=0.01 * multiple)


@pytest.mark.parametrize("name", ["linear", "lstm", "lstm-projected", "feed-forward"])
def test_parameters_are_counted_as_the_model_has_them(name):
    model = configuration(name, Recipe(parameters=9_000, embedding_size=3, cutoff=20), 100).model
    shapes = jax.eval_shape(build_model(model, 100).init, jax.random.key(0))
    assert parameter_count(shapes) == model_size(model, 100)


def test_the_size_of_an_lstm_is_the_one_by_hand():
    units = configuration("lstm", Recipe(), 10_000).model.hidden_size
    cell = 4 * units * (100 + units + 1)
    output = (units + 1) * 2001 + (units + 1) * (units // 4) + (units // 4) * 8000
    assert model_size(configuration("lstm", Recipe(), 10_000).model, 10_000) == 1_000_000 + cell + output


def test_the_nearest_size():
    assert nearest_size(lambda size: size**2, 100**2 + 99) == 100
    assert nearest_size(lambda size: size**2, 100**2 + 102) == 101
    assert nearest_size(lambda size: size**2, 100**2, multiple=16) == 96
    assert nearest_size(lambda size: size, FEWEST - 1) == FEWEST
    with pytest.raises(ArgumentError, match="are the fewest"):
        nearest_size(lambda size: size, FEWEST // 2)


@pytest.fixture
def folder(tmp_path):
    """A folder with a text, and a README to write the table into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}{END}after\n")
    (tmp_path / "text.txt").write_text(text(40))
    return tmp_path


def run(folder, *arguments):
    recipe = Recipe(
        corpus=str(folder / "text.txt"),
        parameters=3_000,
        embedding_size=3,
        cutoff=5,
        batch_size=2,
        bptt=5,
        lags=(1, 2, 5),
        positions=10,
    )
    return study.main(["--runs", str(folder / "runs"), *arguments], folder, recipe=recipe)


def test_a_run_is_resumed_and_recorded(folder, monkeypatch, capsys):
    """Interrupted after training; then a process that goes on trains no more and only measures."""

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(measure, "measure_horizons", interrupted)
        run(folder, "--cells", "elman-tanh", "--steps", "12")
    results = RunFolder(folder / "runs" / "elman-tanh").results
    before = results.read_bytes()
    assert not (folder / "runs" / "trained" / "elman-tanh.json").exists()
    assert run(folder, "--cells", "elman-tanh", "--steps", "12") == 0
    assert results.read_bytes() == before
    results.unlink()  # as if it had been stopped before the last evaluation
    (folder / "runs" / "trained" / "elman-tanh.json").unlink()
    assert run(folder, "--cells", "elman-tanh,linear", "--steps", "12") == 0
    assert json.loads(results.read_text())["run_id"] == json.loads(before)["run_id"]
    assert run(folder, "--cells", "elman-tanh,linear", "--steps", "12", "--time") == 0

    recorded = json.loads((folder / "results.json").read_text())["results"]
    assert {result["cell"] for result in recorded} == {"elman-tanh", "linear"}
    for result in recorded:
        assert result["steps"] == 12
        assert 2 < result["test_perplexity"] < 30
        assert result["parameters"] == pytest.approx(3_000, rel=0.05)
        assert result["tokens_per_second"] == result["timed"]["tokens_per_second"] > 0
        assert set(result["horizons"]) == {"1/e", "1%"}
        assert set(result["context_horizon"]) == {"5%", "1%"}
        assert str(folder) not in json.dumps(result)
    assert recorded[0]["test_perplexity"] <= recorded[1]["test_perplexity"]
    table = (folder / "README.md").read_text()
    assert "| elman-tanh | Elman 1990 | nonlinear | " in table
    assert (folder / "cells.png").stat().st_size > 5000
    capsys.readouterr()
    assert run(folder, "--cells", "elman-tanh", "--steps", "13") == 2
    assert "has results of steps 12, not 13" in capsys.readouterr().err
