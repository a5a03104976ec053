"""``rnnlm-jax ngram train --model maxent``: training, priors given or chosen, and errors."""

import json

import numpy as np

from rnnlm_jax import ngrams
from rnnlm_jax.data import build_vocabulary, read_lines
from tests.cli.conftest import everything


def test_train_and_eval(rnnlm, corpus, tmp_path):
    train = ("ngram", "train", corpus, "--model", "maxent", "--order", "3", "--out", tmp_path / "model")
    outcome = rnnlm(*train, "--arpa", tmp_path / "model.arpa", "--prior-discounts", "0.2", "--prior-variances", "9,3")
    assert outcome.code == 0, outcome
    assert "maximum entropy 3-gram" in outcome.out and "variances 9/3" in outcome.out
    words = build_vocabulary(read_lines(corpus))
    text = words.encode(read_lines(corpus))
    expected = ngrams.maxent.train(text, words, 3, priors=ngrams.maxent.Priors((0.2,), (9.0, 3.0))).token_nll(text)
    for name in ("model", "model.arpa"):
        found = rnnlm("ngram", "eval", tmp_path / name, "--data", corpus, "--json")
        np.testing.assert_allclose(json.loads(found.out.splitlines()[-1])["nats"], expected.sum(), rtol=1e-6)


def test_priors_of_a_held_out_text(rnnlm, corpus, tmp_path):
    train = ("ngram", "train", corpus, "--model", "maxent", "--order", "2", "--out", tmp_path / "model")
    assert rnnlm(*train, "--held-out", corpus).code == 0
    usual = rnnlm(*train[:-1], tmp_path / "usual")
    assert usual.code == 0 and "variances 15/5/2 from" in usual.out
    nats = [
        json.loads(rnnlm("ngram", "eval", tmp_path / name, "--data", corpus, "--json").out.splitlines()[-1])["nats"]
        for name in ("model", "usual")
    ]
    assert nats[0] < nats[1]


def test_what_is_refused(refuse, corpus, tmp_path):
    train = ("ngram", "train", corpus, "--out", tmp_path / "out")
    refuse(*train, "--prior-variances", "2", saying="--prior-variances needs --model maxent")
    train = (*train, "--model", "maxent")
    refuse(*train, "--discounts", "single", saying="--discounts needs --model kn")
    refuse(*train, "--skip-grams", saying="--skip-grams needs --model snm")
    refuse(*train, "--prior-discounts", "1", saying="must be from 0 to 1")
    refuse(*train, "--prior-variances", "2,none", saying="numbers with commas")
    refuse(*train, "--prior-variances", "0", saying="above 0")
    refuse(*train, "--prior-variances", "2", "--held-out", corpus, saying="leave one out")
    refuse(*train, "--held-out", tmp_path / "none", saying="cannot find the file")
    assert not everything(tmp_path)
