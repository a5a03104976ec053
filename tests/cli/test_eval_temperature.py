"""``rnnlm-jax eval --temperature``: fitted on validation text, given as a number, and refused."""

import json

import numpy as np
import pytest

from rnnlm_jax.evaluation.comparison import text_of_run
from rnnlm_jax.jobs.run_folder import open_run
from tests.training.tiny import text


def figures(outcome):
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


def test_a_temperature_is_fitted_on_validation_text_and_reported(trained, tmp_path, rnnlm):
    other = tmp_path / "other.txt"
    other.write_text(text(3))
    plain = figures(rnnlm("eval", trained, "--data", other, "--json"))
    outcome = rnnlm("eval", trained, "--data", other, "--temperature", "fit", "--json")
    fitted = figures(outcome)
    about, valid = fitted["temperature"], text_of_run(open_run(trained), "valid")
    assert about["perplexity_without"] == plain["perplexity"]
    assert about["fitted"]["tokens"] == len(valid) and about["fitted"]["digest"] == valid.digest
    assert not about["fitted"]["is_evaluated_text"]
    assert about["fitted"]["perplexity"] < about["fitted"]["perplexity_without"]
    assert f"temperature {about['value']:.4f} fitted on the validation text of" in outcome.out

    again = figures(rnnlm("eval", trained, "--data", other, "--temperature", about["value"], "--json"))
    assert again["perplexity"] == fitted["perplexity"] and again["temperature"]["fitted"] is None
    same = figures(rnnlm("eval", trained, "--data", other, "--temperature", "1", "--json"))
    np.testing.assert_allclose(same["perplexity"], plain["perplexity"], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--temperature", "warm"], "must be fit or a positive number, not 'warm'"),
        (["--temperature", "0"], "must be fit or a positive number, not '0'"),
        (["--temperature", "fit", "--cache", "20"], "--temperature does not go with --dynamic or --cache"),
        (["--temperature", "2", "--dynamic", "sgd"], "--temperature does not go with --dynamic or --cache"),
    ],
)
def test_impossible_temperatures_are_refused(trained, corpus, refuse, options, said):
    refuse("eval", trained, "--data", corpus, *options, saying=said)
