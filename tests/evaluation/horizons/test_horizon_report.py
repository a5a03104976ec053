"""The report of a run's measurements and its files; the measurements themselves are replaced by stand-ins."""

import json
import warnings
from contextlib import nullcontext
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.config import Config, replace
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation.horizons import (
    GradientDecay,
    HorizonOptions,
    HorizonReport,
    InformationDecay,
    TextSpectra,
    horizon_report,
    measure_horizons,
    require_measurable,
)
from rnnlm_jax.jobs.run_folder import START, Run, build_model
from tests.training.tiny import random_params, text, vocabulary

WORDS = vocabulary()
TEXT = WORDS.encode(text(1).splitlines())
INF = np.inf


def make_run(cell, **options):
    config = replace(Config(), model={"cell": cell, "hidden_size": 2, **options})
    model = build_model(config.model, WORDS.size)
    return Run(config, WORDS, model, random_params(model), START)


def make_bar(description, total):
    return nullcontext(SimpleNamespace(update=lambda tokens: None))


@pytest.fixture
def measured(monkeypatch):
    """Measurements of an LSTM, to be changed by a test."""
    norms = {part: np.zeros((4, 6)) for part in ("hidden", "cell", "inputs")}
    norms["cell"][:, 0] = -INF
    found = {
        "gradient_decay": GradientDecay(np.arange(6), norms, np.zeros((4, 6))),
        "information_decay": InformationDecay(
            np.array([1, 5]), np.array([3.0, 2.02]), np.array([0.5, 0.25]), 2.0, 0.125, 4
        ),
        "text_spectra": None,
        "text_exponents": None,
    }
    for name in found:
        monkeypatch.setattr(horizon_report, name, lambda *arguments, _name=name, **options: found[_name])
    return found


def test_the_summary_has_the_horizons_of_each_part_and_context(measured):
    measured["gradient_decay"].parts["hidden"][:] = [0, -0.5, -2, -5, -0.5, -5]
    measured["gradient_decay"].parts["cell"][:] = [-INF, 1, 0.5, -1, -4, -4]
    options = HorizonOptions(lags=(1, 5), positions=100, sequences=0)
    found = measure_horizons(make_run("lstm"), TEXT, options, name="net", data="a.txt", make_bar=make_bar)
    arrays, facts = found.arrays, found.summary
    assert facts["horizons"] == {
        "hidden": {"1/e": 5, "1%": 5},
        "cell": {"1/e": 3, "1%": 4},
        "inputs": {"1/e": None, "1%": None},
    }
    assert facts["first_lag"] == {"hidden": 0, "cell": 1, "inputs": 0}
    assert facts["relative_norms"]["cell"] == {"1": 1.0, "5": pytest.approx(np.exp(-5))}
    assert facts["context_horizon"] == {"1%": None, "5%": 5}
    assert facts["perplexity_by_context"] == {"1": pytest.approx(np.exp(3)), "5": pytest.approx(np.exp(2.02))}
    assert (facts["name"], facts["data"], facts["step"], facts["cell"]) == ("net", "a.txt", 0, "lstm")
    assert (facts["positions"], facts["context_tokens"], facts["largest_lag"]) == (4, 4, 5)  # as many as fit
    assert facts["model"]["hidden_size"] == 2
    assert {name for name in arrays if name.startswith("log_")} == {
        *("log_norm_hidden", "log_norm_cell", "log_norm_inputs", "log_norm_carousel"),  # without bounds
    }
    assert "trusted" not in facts


def test_an_exploding_gradient_gives_infinite_norms_and_null_in_json(measured, tmp_path):
    measured["gradient_decay"].parts["hidden"][:] = 1000.0 * np.arange(6)
    options = HorizonOptions(lags=(1, 5), positions=4, sequences=0, parts=("hidden",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_horizons(make_run("lstm"), TEXT, options, name="net", data="a.txt", make_bar=make_bar)
    assert found.summary["relative_norms"] == {"hidden": {"1": INF, "5": INF}}
    found.write(tmp_path)
    assert json.loads((tmp_path / "jacobians.json").read_text())["relative_norms"] == {"hidden": {"1": None, "5": None}}


def test_a_large_state_has_its_largest_singular_values_only(measured):
    values = np.array([[[1.0, -2.0], [5.0, -INF]], [[2.0, -1.0], [7.0, 1.0]]])
    measured["text_spectra"] = TextSpectra(np.array([1, 5]), values, np.array([[2, 1], [2, 2]]), None, None)
    options = HorizonOptions(lags=(1, 5), positions=4, sequences=2)
    found = measure_horizons(make_run("lstm"), TEXT, options, name="net", data="a.txt", make_bar=make_bar)
    assert {"spectrum_lag", "log_singular_values", "trusted"} <= found.arrays.keys()
    assert not {"log_abs_det", "step_eigenvalues", "lyapunov_exponents"} & found.arrays.keys()
    assert (found.summary["state_size"], found.summary["singular_values"]) == (4, 2)
    assert found.summary["largest_singular_value_per_step"] == {"1": 1.5, "5": 6 / 5}
    assert found.summary["trusted"] == [[2, 1], [2, 2]]
    assert "lyapunov" not in found.summary


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (
            "gru",
            {"parts": ("hidden", "cell")},
            r"net \(gru\) has no 'cell' to take gradients of: it has hidden, inputs$",
        ),
        ("lstm", {"parts": ("memory",)}, "has no 'memory' to take gradients of: it has hidden, cell, inputs$"),
        ("lstm", {"lags": (1, len(TEXT))}, f"lag {len(TEXT)} goes beyond the text of {len(TEXT)} tokens"),
    ],
    ids=["part of another cell", "unknown part", "lag"],
)
def test_errors_of_options(cell, options, message):
    options = HorizonOptions(**({"lags": (1,), "positions": 1, "sequences": 0} | options))
    with pytest.raises(ArgumentError, match=message):
        require_measurable(make_run(cell), TEXT, options, name="net")


def test_the_longest_possible_lag_and_all_parts_are_measurable():
    options = HorizonOptions((len(TEXT) - 1,), 1, 0, ("inputs", "cell", "hidden"))
    require_measurable(make_run("lstm", layers=2), TEXT, options, name="net")


@pytest.mark.parametrize("value", [np.nan, INF])
def test_parameters_that_are_not_finite_are_an_error(value):
    run = make_run("lstm", layers=2)
    leaves, structure = jax.tree.flatten(run.params)
    leaves[4] = leaves[4].at[0].set(value)
    with pytest.raises(UserError, match=r"the parameters of net are not finite \(cell\.1\.w_x\): use an earlier"):
        broken = Run(run.config, WORDS, run.model, structure.unflatten(leaves), START)
        require_measurable(broken, TEXT, HorizonOptions((1,), 1, 0), name="net")


def test_a_failed_write_keeps_the_old_arrays(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "b"
    HorizonReport({"lag": np.arange(3)}, {"name": "net", "largest": -INF}).write(folder)

    def half(file, **arguments):
        file.write(b"half")
        raise OSError("no space")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(OSError, match="no space"):
        HorizonReport({"lag": np.arange(9)}, {}).write(folder)
    assert {path.name for path in folder.iterdir()} == {"jacobians.npz", "jacobians.json"}
    with np.load(folder / "jacobians.npz") as file:
        assert file["lag"].tolist() == [0, 1, 2]
    assert json.loads((folder / "jacobians.json").read_text()) == {"name": "net", "largest": None}
