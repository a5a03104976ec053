"""What is put together of a run's measurements, and how it is written; the measuring itself is stood in for."""

import json
import warnings
from contextlib import nullcontext
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.config import Config, replace
from rnnlm_jax.evaluation.horizons import report
from rnnlm_jax.evaluation.horizons.gradient_decay import GradientDecay
from rnnlm_jax.evaluation.horizons.horizon_report import Options, Report, analyse, check
from rnnlm_jax.evaluation.horizons.information_decay import InformationDecay
from rnnlm_jax.evaluation.horizons.text_spectra import TextSpectra
from rnnlm_jax.jobs.run_folder import START, Run, build_model
from tests.training.tiny import random_params, text, vocabulary

WORDS = vocabulary()
TEXT = WORDS.encode(text(1).splitlines())
INF = np.inf


def a_run(cell, **options):
    config = replace(Config(), model={"cell": cell, "hidden_size": 2, **options})
    model = build_model(config.model, WORDS.size)
    return Run(config, WORDS, model, random_params(model), START)


def silent(what, tokens):
    return nullcontext(SimpleNamespace(update=lambda tokens: None))


@pytest.fixture
def measured(monkeypatch):
    """Stand-ins for what is measured of an LSTM, to be changed by a test."""
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
        monkeypatch.setattr(report, name, lambda *arguments, name=name: found[name])
    return found


def test_parts_and_horizons(measured):
    measured["gradient_decay"].parts["hidden"][:] = [0, -0.5, -2, -5, -0.5, -5]
    measured["gradient_decay"].parts["cell"][:] = [-INF, 1, 0.5, -1, -4, -4]
    options = Options(lags=(1, 5), positions=100, sequences=0)
    found = analyse(a_run("lstm"), "net", "a.txt", TEXT, options, silent)
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
    assert (facts["positions"], facts["context_tokens"], facts["largest_lag"]) == (4, 4, 5)  # what there was room for
    assert facts["model"]["hidden_size"] == 2
    assert {name for name in arrays if name.startswith("log_")} == {
        *("log_norm_hidden", "log_norm_cell", "log_norm_inputs", "log_norm_carousel"),  # and no bound
    }
    assert "trusted" not in facts


def test_an_exploding_gradient_is_no_error(measured, tmp_path):
    measured["gradient_decay"].parts["hidden"][:] = 1000.0 * np.arange(6)
    options = Options(lags=(1, 5), positions=4, sequences=0, parts=("hidden",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analyse(a_run("lstm"), "net", "a.txt", TEXT, options, silent)
    assert found.summary["relative_norms"] == {"hidden": {"1": INF, "5": INF}}
    found.write(tmp_path)
    assert json.loads((tmp_path / "jacobians.json").read_text())["relative_norms"] == {"hidden": {"1": None, "5": None}}


def test_the_largest_values_of_a_state_too_large(measured):
    """Two of four values were computed, and nothing that needs a matrix."""
    values = np.array([[[1.0, -2.0], [5.0, -INF]], [[2.0, -1.0], [7.0, 1.0]]])
    measured["text_spectra"] = TextSpectra(np.array([1, 5]), values, np.array([[2, 1], [2, 2]]), None, None)
    options = Options(lags=(1, 5), positions=4, sequences=2)
    found = analyse(a_run("lstm"), "net", "a.txt", TEXT, options, silent)
    assert {"spectrum_lag", "log_singular_values", "trusted"} <= found.arrays.keys()
    assert not {"log_abs_det", "step_eigenvalues", "lyapunov_exponents"} & found.arrays.keys()
    assert (found.summary["state_size"], found.summary["singular_values"]) == (4, 2)
    assert found.summary["largest_singular_value_per_step"] == {"1": 1.5, "5": 6 / 5}
    assert found.summary["trusted"] == [[2, 1], [2, 2]]
    assert "lyapunov" not in found.summary


@pytest.mark.parametrize(
    ("cell", "options", "said"),
    [
        (
            "gru",
            {"parts": ("hidden", "cell")},
            r"net \(gru\) has no 'cell' to take gradients of: it has hidden, inputs$",
        ),
        ("lstm", {"parts": ("memory",)}, "has no 'memory' to take gradients of: it has hidden, cell, inputs$"),
        ("lstm", {"lags": (1, len(TEXT))}, f"lag {len(TEXT)} goes beyond the text of {len(TEXT)} tokens"),
    ],
    ids=["part of another cell", "no part at all", "lag"],
)
def test_what_cannot_be_measured(cell, options, said):
    with pytest.raises(UserError, match=said):
        check(a_run(cell), "net", TEXT, Options(**({"lags": (1,), "positions": 1, "sequences": 0} | options)))


def test_what_can():
    check(a_run("lstm", layers=2), "net", TEXT, Options((len(TEXT) - 1,), 1, 0, ("inputs", "cell", "hidden")))


@pytest.mark.parametrize("value", [np.nan, INF])
def test_parameters_that_are_not_finite(value):
    run = a_run("lstm", layers=2)
    leaves, structure = jax.tree.flatten(run.params)
    leaves[4] = leaves[4].at[0].set(value)
    with pytest.raises(UserError, match=r"the parameters of net are not finite \(cell\.1\.w_x\): use an earlier"):
        broken = Run(run.config, WORDS, run.model, structure.unflatten(leaves), START)
        check(broken, "net", TEXT, Options((1,), 1, 0))


def test_arrays_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "b"
    Report({"lag": np.arange(3)}, {"name": "net", "largest": -INF}).write(folder)

    def half(file, **arguments):
        file.write(b"half")
        raise OSError("no space")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(OSError, match="no space"):
        Report({"lag": np.arange(9)}, {}).write(folder)
    assert {path.name for path in folder.iterdir()} == {"jacobians.npz", "jacobians.json"}
    with np.load(folder / "jacobians.npz") as file:
        assert file["lag"].tolist() == [0, 1, 2]
    assert json.loads((folder / "jacobians.json").read_text()) == {"name": "net", "largest": None}
