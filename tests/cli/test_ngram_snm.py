"""``rnnlm-jax ngram train --model snm``."""

import json

import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.data import build_vocabulary, read_lines
from rnnlm_jax.ngrams import snm
from tests.cli.conftest import everything


def test_train_and_eval(rnnlm, corpus, tmp_path):
    out = tmp_path / "model"
    outcome = rnnlm("ngram", "train", corpus, "--model", "snm", "--skip-grams", "--order", "3", "--out", out)
    assert outcome.code == 0, outcome.err
    assert "sparse non-negative matrix" in outcome.out
    words = build_vocabulary(read_lines(corpus))
    text = words.encode(read_lines(corpus))
    expected = snm.train(text, words, snm.ngram_types(3) + snm.skip_types(3))
    np.testing.assert_array_equal(ngrams.load(out).token_nll(text), expected.token_nll(text))
    evaluated = rnnlm("ngram", "eval", out, "--data", corpus, "--json")
    figures = json.loads(evaluated.out.splitlines()[-1])
    assert figures["nats"] == pytest.approx(expected.token_nll(text).sum())
    assert figures["parameters"] == expected.parameter_count


def test_held_out_text_and_epochs(rnnlm, corpus, tmp_path):
    train = ("ngram", "train", corpus, "--model", "snm", "--order", "2", "--out", tmp_path / "model")
    assert rnnlm(*train, "--held-out", corpus, "--epochs", "2").code == 0
    assert "2 epochs over" in ngrams.load(tmp_path / "model").describe()
    assert rnnlm(*train, "--epochs", "0").code == 0
    assert "not adjusted" in ngrams.load(tmp_path / "model").describe()


def test_what_is_refused(refuse, corpus, tmp_path):
    train = ("ngram", "train", corpus, "--out", tmp_path / "out")
    for option in ("--skip-grams", "--lexical", ("--held-out", corpus), ("--epochs", "2")):
        refuse(*train, *([option] if isinstance(option, str) else option), saying="needs --model")
    snm_train = (*train, "--model", "snm")
    refuse(*snm_train, "--discounts", "single", saying="--discounts needs --model kn")
    refuse(*snm_train, "--arpa", tmp_path / "arpa", saying="--arpa needs --model kn or maxent")
    refuse(*snm_train, "--skip-grams", "--order", "1", saying="order of 2 or more")
    refuse(*snm_train, "--epochs", "-1", saying="must be 0 or more")
    refuse(*snm_train, "--held-out", tmp_path / "none", saying="cannot find the file")
    refuse(*snm_train, "--order", "99", saying="at most 64 types")
    refuse(*train, "--model", "katz", saying="invalid choice")
    assert not everything(tmp_path)
