"""The study of known systems: the closed loop is the trained model on its own predictions; records of a tiny run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.known_systems import __main__ as study
from experiments.known_systems.exponents import Exponents
from experiments.known_systems.network import closed_loop, run, train, trajectories
from experiments.known_systems.recipe import Recipe
from experiments.known_systems.systems import lorenz
from experiments.readme_table import BEGIN, END
from rnnlm_jax import cells
from rnnlm_jax.sequence_model import sequence_model

TINY = Recipe(
    burn_in=2.0,
    starts=4,
    rounds=2,
    henon_steps=200,
    lorenz_time=4.0,
    hidden_size=8,
    streams=4,
    stream_steps=60,
    bptt=20,
    steps=30,
    network_starts=2,
    network_time=1.0,
    shown_time=1.0,
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a README to write the table into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    return tmp_path


def run_study(folder, *arguments, recipe=TINY):
    return study.main(["--runs", str(folder / "runs"), *arguments], folder, recipe=recipe)


def test_trajectories_lie_on_the_attractor():
    states = trajectories(lorenz(0.01), Recipe(streams=8, stream_steps=2000), seed=0)
    assert states.shape == (2001, 8, 3)
    np.testing.assert_allclose(states.mean(axis=(0, 1)), [0, 0, 23.5], rtol=0, atol=1.5)
    np.testing.assert_allclose(states.std(axis=(0, 1)), [7.9, 9.0, 8.6], rtol=0, atol=0.7)
    assert not np.array_equal(states, trajectories(lorenz(0.01), Recipe(streams=8, stream_steps=2000), seed=1))


def test_the_closed_loop_is_the_trained_model_on_its_own_predictions():
    states = trajectories(lorenz(0.01), TINY, seed=0)
    params, scaling, loss = train(states, TINY, seed=0)
    assert params.w.dtype == np.float32
    assert np.isfinite(loss)
    cell, wide = closed_loop(params, scaling, TINY)
    first = jnp.asarray((states[-1] - scaling.mean) / scaling.deviation)
    own = run(cell, wide, cell.initial_state((4,)) | {"u": first}, 25)
    fed = np.concatenate([first[None], own[:-1]])  # what the network read at each step
    model = sequence_model(cells.gru(TINY.hidden_size, param_dtype="float64"), 3, 3)
    _, changes = model(wide, model.initial_state((4,)), jnp.asarray(fed))
    np.testing.assert_allclose(own, fed + scaling.change * np.asarray(changes), rtol=0, atol=1e-12)


def test_errors_of_rounds_are_put_together():
    rounds = [Exponents(np.asarray([m]), np.asarray([0.3]), np.asarray([0.4]), m, 10.0) for m in (1.0, 2.0)]
    found = study.together(rounds)
    assert (found.mean[0], found.sum_of_determinants, found.time) == (1.5, 1.5, 20.0)
    np.testing.assert_allclose([found.between_starts[0], found.within_starts[0]], np.asarray([0.3, 0.4]) / np.sqrt(2))


def test_a_run_is_recorded_and_not_run_again(folder, monkeypatch, capsys):
    with jax.enable_x64(False):  # as the command runs
        assert run_study(folder, "--seeds", "1") == 0
    found = json.loads((folder / "results.json").read_text())["results"]
    henon, _, network = (result["exponents"] for result in found)
    np.testing.assert_allclose(henon["sum_of_determinants"], np.log(0.3), rtol=1e-12)
    np.testing.assert_allclose(sum(henon["mean"]), np.log(0.3), rtol=1e-10)
    np.testing.assert_allclose(henon["mean"][0], 0.42, rtol=0, atol=0.1)
    assert len(network["mean"]) == 3
    assert network["sum_of_determinants"] is None
    assert "shown" not in found[2]
    assert (folder / "attractors.png").stat().st_size > 5000
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n| system |")
    assert "| Hénon map | sum of all | -1.20397280 |" in text
    assert "seed 0 | λ1 |" in text
    assert "Lorenz system" in capsys.readouterr().out

    def never(*arguments):
        raise AssertionError("was run again")

    monkeypatch.setattr(study, "measure_system", never)
    monkeypatch.setattr(study, "train_and_measure", never)
    assert run_study(folder, "--seeds", "1", "--no-record") == 0
    assert run_study(folder, recipe=Recipe()) == 2
    assert "has results of burn_in 2.0, not 20.0: give another `runs`" in capsys.readouterr().err
    assert run_study(folder, "--seeds", "0") == 2
