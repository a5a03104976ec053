"""KenLM reads the ARPA files of this library and gives every token the same probability."""

import math

import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.data import build_vocabulary
from tests.ngrams.texts import penn_treebank, vocabulary, zipf_text

pytestmark = pytest.mark.peers

#: KenLM keeps float32.
TOLERANCE = 2e-6


def kenlm_log10(path, lines):
    """log10 P of each token of each line, its end included."""
    kenlm = pytest.importorskip("kenlm")
    model = kenlm.Model(str(path))
    return [log10 for line in lines for log10, _, _ in model.full_scores(line, bos=True, eos=True)]


def lines_of(text, words):
    return [" ".join(words.tokens[i] for i in line[:-1]) for line in text.lines()]


@pytest.mark.parametrize(("order", "kind"), [(2, "modified"), (4, "modified"), (5, "single")])
def test_log10_of_every_token_equals_that_of_kenlm(order, kind, tmp_path):
    words = vocabulary(20)
    model = ngrams.train(zipf_text(words, 80), words, order, discounts=kind)
    ngrams.write_arpa(model, tmp_path / "model.arpa")
    text = zipf_text(words, 60, seed=5, repeated=0.3)
    expected = kenlm_log10(tmp_path / "model.arpa", lines_of(text, words))
    ours = -model.token_nll(text) / math.log(10)
    np.testing.assert_allclose(ours, expected, rtol=TOLERANCE, atol=TOLERANCE)
    again = ngrams.load(tmp_path / "model.arpa")
    np.testing.assert_allclose(-again.token_nll(text) / math.log(10), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_unknown_words_have_the_probability_of_kenlm(tmp_path):
    words = vocabulary(10)
    model = ngrams.train(zipf_text(words, 80), words, 3)
    ngrams.write_arpa(model, tmp_path / "model.arpa")
    lines = ["a never b", "never never", "b a zzz"]
    expected = kenlm_log10(tmp_path / "model.arpa", lines)
    ours = -model.token_nll(words.encode(lines)) / math.log(10)
    np.testing.assert_allclose(ours, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_penn_treebank_equals_kenlm(tmp_path):
    words, train, test = penn_treebank()
    model = ngrams.train(train, words, 3)
    ngrams.write_arpa(model, tmp_path / "model.arpa")
    expected = kenlm_log10(tmp_path / "model.arpa", lines_of(test, words))
    np.testing.assert_allclose(-model.token_nll(test) / math.log(10), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_file_of_another_toolkit_is_read_like_kenlm(tmp_path):
    """Unsorted, without backoff weights of zero, <s> in the middle of the unigrams: both read the same model."""
    sections = [
        ["-0.9\ty", "-1.0\tz\t-0.5", "-99\t<s>\t-0.2", "-0.7\t</s>", "-1.5\t<unk>", "-0.4\tx\t-0.3"],
        ["-0.6\tz </s>", "-0.5\tx z\t-0.4", "-0.25\t<s> x\t-0.1", "-0.8\ty z"],
        ["-0.15\tx z </s>", "-0.05\t<s> x z"],
    ]
    lines = ["\\data\\", *(f"ngram {k}={len(section)}" for k, section in enumerate(sections, 1))]
    for k, section in enumerate(sections, 1):
        lines += ["", f"\\{k}-grams:", *section]
    path = tmp_path / "model.arpa"
    path.write_text("\n".join([*lines, "", "\\end\\", ""]))
    model = ngrams.load(path)
    text = ["x z", "x z y z", "", "other z", "z z x y x z", "y"]
    ours = -model.token_nll(model.vocabulary.encode(text)) / math.log(10)
    np.testing.assert_allclose(ours, kenlm_log10(path, text), rtol=TOLERANCE, atol=TOLERANCE)


#: What Unicode calls white space beyond ASCII's six, and one that it does not.
OTHERS = "\u00a0\u3000\u2028\u2029\u0085\u001c\u001d\u001e\u001f\u1680\u2003\u202f\u205f\u200b"


def test_words_are_split_like_kenlm(tmp_path):
    """Words with Unicode white space, and texts with every kind of white space."""
    lines = [f"x{other}y z{other} {other} z" for other in OTHERS] * 2 + ["x y z"] * 3
    words = build_vocabulary(lines)
    assert words.size == 3 * len(OTHERS) + 5
    model = ngrams.train(words.encode(lines), words, 3)
    ngrams.write_arpa(model, tmp_path / "model.arpa")
    text = [*lines, *(f"{other}x{other} {other}{other}y" for other in OTHERS), *(f"x{end}y z" for end in "\t\v\f\r")]
    expected = kenlm_log10(tmp_path / "model.arpa", text)
    for each in (model, ngrams.load(tmp_path / "model.arpa")):
        ours = -each.token_nll(words.encode(text)) / math.log(10)
        np.testing.assert_allclose(ours, expected, rtol=TOLERANCE, atol=TOLERANCE)
