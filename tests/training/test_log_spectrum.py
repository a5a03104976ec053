"""``log_spectrum``: the logged figures against autodiff Jacobians in NumPy; when it measures; what it refuses."""

import functools
import json

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.config import ModelConfig, replace
from rnnlm_jax.jobs.run_folder import RunFolder, build_model
from rnnlm_jax.training.spectrum_log import SpectrumLog, SpectrumOptions
from rnnlm_jax.training.train import train
from tests.training.tiny import assert_same_bits, last_checkpoint, random_params, records, tiny_config

V = 5
OPTIONS = SpectrumOptions(lag=4, exponents=12, steps=40, burn_in=6)
TOKENS = np.random.default_rng(0).integers(0, V, 60).astype(np.int32)

JACOBIAN = jax.jit(autodiff_jacobian, static_argnums=0)


def layer_jacobians(model, params, tokens):
    """Return the step Jacobians ``[T, n, n]`` of each layer of a stack, by autodiff, one token after the other."""
    found = [[] for _ in model.cell.layers]
    states = list(model.initial_state(()))
    for token in tokens:
        xs = params.embedding[token]
        for k, (cell, own) in enumerate(zip(model.cell.layers, params.cell, strict=True)):
            z = cell.input_projection(own, xs)
            found[k].append(np.asarray(JACOBIAN(cell, own, states[k], z), np.float64))
            states[k] = cell.step(own, states[k], z)
            xs = cell.output(own, states[k], z)
    return [np.stack(each) for each in found]


@pytest.fixture(scope="module")
def problem():
    """A model of two layers in float64, dropout switched on, and its parameters."""
    options = {"cell": "lstm", "hidden_size": 3, "layers": 2, "dtype": "float64", "param_dtype": "float64"}
    model = build_model(ModelConfig(**options, dropout_input=0.5, dropout_hidden=0.5, weight_drop=0.5), V)
    return model, random_params(model)


def test_singular_values_are_those_of_each_layers_product(problem):
    model, params = problem
    found = SpectrumLog(model, TOKENS, OPTIONS).record(params)
    burn_in, lag = OPTIONS.burn_in, OPTIONS.lag
    for k, jacobians in enumerate(layer_jacobians(model, params, TOKENS[: burn_in + lag])):
        product = functools.reduce(lambda product, j: j @ product, jacobians[burn_in:])
        logs = np.log(np.linalg.svd(product, compute_uv=False))
        assert found["log_largest"][k] == pytest.approx(logs[0], abs=1e-7)
        assert found["log_condition"][k] == pytest.approx(logs[0] - logs[-1], abs=1e-5)
        assert found["near_zero"][k] == (np.abs(logs) < 1).mean()
    assert found["lag"] == lag


def test_all_exponents_together_are_the_mean_log_determinant(problem):
    model, params = problem
    found = SpectrumLog(model, TOKENS, OPTIONS).record(params)["exponents"]
    assert len(found) == state_size(model.cell) == OPTIONS.exponents
    assert found == sorted(found, reverse=True)
    end = OPTIONS.burn_in + OPTIONS.steps
    log_dets = [np.linalg.slogdet(js[OPTIONS.burn_in :])[1] for js in layer_jacobians(model, params, TOKENS[:end])]
    assert sum(found) == pytest.approx(np.sum(log_dets, axis=0).mean(), rel=1e-6)


def test_only_the_largest_exponents_of_the_whole_state_are_kept(problem):
    model, params = problem
    every = SpectrumLog(model, TOKENS, OPTIONS).record(params)["exponents"]
    few = SpectrumLog(model, TOKENS, SpectrumOptions(lag=4, exponents=2, steps=40, burn_in=6)).record(params)
    np.testing.assert_allclose(few["exponents"], every[:2], atol=0.02)  # another first frame


SPECTRUM = {"log_spectrum": 2, "spectrum_options": (("lag", 3), ("exponents", 2), ("steps", 8), ("burn_in", 2))}


def test_it_measures_before_training_and_at_every_second_validation(corpus, tmp_path):
    config = tiny_config(corpus, training={"epochs": 4, **SPECTRUM, "metrics_writer": "csv"})
    train(config, tmp_path / "run")
    found = records(tmp_path / "run")
    spectra = [record for record in found if record["kind"] == "spectrum"]
    validations = [record["step"] for record in found if record["kind"] == "validation"]
    assert [record["step"] for record in spectra] == [0, validations[1], validations[3]]
    assert len({tuple(record["exponents"]) for record in spectra}) == 3  # parameters change
    assert (tmp_path / "run" / "csv" / "spectrum.csv").read_text().startswith("step,exponents.0,exponents.1,lag")
    assert RunFolder(tmp_path / "run").spectrum_history.read_bytes().startswith(b"\x89PNG")


def test_it_changes_no_other_number_and_resumes_alike(corpus, tmp_path):
    plain = tiny_config(corpus, training={"epochs": 4})
    logging = tiny_config(corpus, training={"epochs": 4, **SPECTRUM})
    train(plain, tmp_path / "without")
    train(logging, tmp_path / "whole")
    train(replace(logging, training={"epochs": 3}), tmp_path / "parts")
    train(logging, tmp_path / "parts", resume=True)
    assert_same_bits(last_checkpoint(tmp_path / "whole")[0], last_checkpoint(tmp_path / "without")[0])
    whole = records(tmp_path / "whole")
    assert [record for record in whole if record["kind"] != "spectrum"] == records(tmp_path / "without")
    assert whole == records(tmp_path / "parts")
    assert not RunFolder(tmp_path / "without").spectrum_history.exists()


def test_a_singular_jacobian_has_an_infinite_condition_which_is_null_in_json(corpus, tmp_path):
    training = {"epochs": 1, **SPECTRUM, "log_spectrum": 1}
    train(tiny_config(corpus, model={"cell": "elman-relu"}, training=training), tmp_path / "run")
    lines = RunFolder(tmp_path / "run").metrics.read_text().splitlines()
    (first, *_) = [record for record in map(json.loads, lines) if record["kind"] == "spectrum"]
    assert first["log_condition"] == [None]
    assert RunFolder(tmp_path / "run").spectrum_history.exists()


@pytest.mark.parametrize(
    ("training", "model", "message"),
    [
        ({"log_spectrum": 0}, {}, "`log_spectrum` must be a positive number"),
        ({"spectrum_options": (("lag", 3),)}, {}, "`spectrum_options` are of `log_spectrum`: give both"),
        ({"log_spectrum": 1, "spectrum_options": (("lags", 3),)}, {}, "no option 'lags': its options are lag"),
        ({"log_spectrum": 1, "spectrum_options": (("lag", 0),)}, {}, "`lag` of `spectrum_options` must be"),
        ({"log_spectrum": 1, "spectrum_options": (("steps", 10**6),)}, {}, "lower burn_in, steps or lag"),
        ({"log_spectrum": 1}, {"cell": "none", "output": "maxent"}, "this model has none: leave it out"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(training, model, message, corpus, tmp_path):
    with pytest.raises(UserError, match=message):
        train(tiny_config(corpus, training={"epochs": 1, **training}, model=model), tmp_path / "run")
    assert not (tmp_path / "run").exists()
