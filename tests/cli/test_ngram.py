"""``rnnlm-jax ngram``: training, evaluation, ARPA files, and errors."""

import json
import math

import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.data import build_vocabulary, read_lines
from tests.cli.conftest import everything


@pytest.fixture(scope="module")
def files(corpus, tmp_path_factory):
    """A model file and an ARPA file of the text."""
    from rnnlm_jax.cli.main import main

    folder = tmp_path_factory.mktemp("ngram")
    words = ["ngram", "train", str(corpus), "--order", "3", "--out", str(folder / "model")]
    assert main([*words, "--arpa", str(folder / "model.arpa")]) == 0
    return folder


def test_train_and_eval(rnnlm, corpus, files, tmp_path):
    words = build_vocabulary(read_lines(corpus))
    text = words.encode(read_lines(corpus))
    expected = ngrams.train(text, words, 3).token_nll(text)
    for name, digits in (("model", 1e-14), ("model.arpa", 1e-8)):
        outcome = rnnlm("ngram", "eval", files / name, "--data", corpus, "--json")
        assert outcome.code == 0, outcome.err
        figures = json.loads(outcome.out.splitlines()[-1])
        assert figures["nats"] == pytest.approx(math.fsum(expected), rel=digits)
        assert figures["perplexity"] == pytest.approx(math.exp(expected.mean()), rel=digits)
        assert (figures["tokens"], figures["oov"]) == (len(text), 0)
        assert figures["policy"] == words.describe()
        assert figures["exact"] is True
        assert figures["parameters"] == ngrams.load(files / name).parameter_count
        assert "3-gram" in outcome.out


def test_it_prints_the_fields_of_eval(rnnlm, corpus, files, trained):
    run = rnnlm("eval", trained, "--data", corpus, "--json")
    ngram = rnnlm("ngram", "eval", files / "model", "--data", corpus, "--json")
    fields = [set(json.loads(outcome.out.splitlines()[-1])) for outcome in (run, ngram)]
    assert fields[0] - fields[1] <= {"run", "step"}


def test_the_vocabulary_of_a_run(rnnlm, corpus, trained, tmp_path):
    vocabulary = trained / "vocabulary.json"
    outcome = rnnlm("ngram", "train", corpus, "--vocabulary", vocabulary, "--out", tmp_path / "model", "--order", "1")
    assert outcome.code == 0
    run = json.loads(rnnlm("eval", trained, "--data", corpus, "--json").out.splitlines()[-1])
    model = json.loads(rnnlm("ngram", "eval", tmp_path / "model", "--data", corpus, "--json").out.splitlines()[-1])
    assert run["policy"] == model["policy"]


def test_single_discounts_and_characters(rnnlm, corpus, tmp_path):
    words = ("ngram", "train", corpus, "--discounts", "single", "--level", "char", "--out", tmp_path / "model")
    outcome = rnnlm(*words)
    assert outcome.code == 0
    assert "single-discount" in outcome.out
    assert ngrams.load(tmp_path / "model").vocabulary.level == "char"
    assert ngrams.load(tmp_path / "model").order == 5


def test_impossible_training_is_refused(refuse, corpus, trained, tmp_path):
    empty, blank = tmp_path / "empty", tmp_path / "blank"
    empty.write_text("")
    blank.write_text("\n\n")
    out = tmp_path / "out"
    before = everything(tmp_path)
    train = ("ngram", "train")
    refuse(*train, corpus, "--out", out, "--order", "0", saying="must be from 1 to 1000")
    refuse(*train, tmp_path / "none", "--out", out, saying="cannot find the file")
    refuse(*train, empty, "--out", out, saying="is empty")
    refuse(*train, blank, "--out", out, saying="no tokens")
    refuse(*train, corpus, "--out", tmp_path, saying="is a folder")
    refuse(*train, corpus, "--out", out, "--arpa", out, saying="the same file")
    refuse(*train, corpus, "--out", out, "--arpa", out, "--order", "2", saying="the same file")
    refuse(*train, corpus, "--out", out, "--arpa", f"{out}.arpa", "--level", "char", saying="cannot hold the token")
    refuse(*train, corpus, "--out", out, "--min-count", "0", saying="--min-count must be at least 1")
    refuse(*train, corpus, "--out", out, "--vocabulary", tmp_path / "none", saying="cannot find the vocabulary file")
    vocabulary = trained / "vocabulary.json"
    refuse(*train, corpus, "--out", out, "--vocabulary", vocabulary, "--level", "char", saying="choose")
    refuse(*train, corpus, "--out", out, "--discounts", "katz", saying="invalid choice")
    refuse(*train, corpus, saying="--out")
    refuse(*train, "ptb:none", "--out", out, "--data-dir", tmp_path, saying="ptb")
    assert everything(tmp_path) == before


def test_impossible_evaluation_is_refused(refuse, corpus, files, tmp_path):
    refuse("ngram", "eval", tmp_path / "none", "--data", corpus, saying="cannot find the model file")
    refuse("ngram", "eval", tmp_path, "--data", corpus, saying="is a directory")
    refuse("ngram", "eval", corpus, "--data", corpus, saying="neither a model file")
    refuse("ngram", "eval", files / "model", "--data", tmp_path / "none", saying="cannot find the file")
    (tmp_path / "other").write_text("zzz yyy xxx\n")
    refuse("ngram", "eval", files / "model", "--data", tmp_path / "other", saying="is in the vocabulary")
    content = bytearray((files / "model").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(content)
    refuse("ngram", "eval", tmp_path / "damaged", "--data", corpus, saying="damaged")
    lines = (files / "model.arpa").read_text().splitlines()
    (tmp_path / "cut.arpa").write_text("\n".join(lines[:20]))
    refuse("ngram", "eval", tmp_path / "cut.arpa", "--data", corpus, saying="line 20")
    refuse("ngram", saying="ACTION")
