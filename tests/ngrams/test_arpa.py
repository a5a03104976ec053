"""ARPA files: round trips, files of other toolkits, and errors that name the line."""

import gzip
import math

import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import ArgumentError, DataError
from tests.ngrams.texts import vocabulary, zipf_text

WORDS = vocabulary(12)

#: As another toolkit might write it: no backoff of zero, spaces for tabs, an n-gram without its context (x y z), an
#: unknown word in capitals, another order of words, an n-gram of <s> that means nothing.
FOREIGN = """\
This file has a first line that says something.

\\data\\
ngram 1=6
ngram 2=4
ngram 3=2

\\1-grams:
-1.0 z -0.5
-0.7 </s>
-0.4 x -0.3
-99 <s> -0.2
-0.9 y
-1.5\t<UNK>

\\2-grams:
-0.25 <s> x -0.1
-0.5 x z
-0.6 z </s>
-3 z <s>

\\3-grams:
-0.05 <s> x z
-0.15 x y z

\\end\\
"""


def small():
    """The lines of a well-formed file, to be damaged."""
    return FOREIGN.splitlines()


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
@pytest.mark.parametrize("kind", ["modified", "single"])
def test_a_written_file_gives_the_same_model(name, kind, tmp_path):
    model = ngrams.train(zipf_text(WORDS, 60), WORDS, 4, discounts=kind)
    path, counts = tmp_path / name, []
    ngrams.write_arpa(model, path, counts.append)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert sum(counts) == model.parameter_count + 1  # <s> has a line too
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith("gz")
    again = ngrams.load(path)
    assert again.vocabulary == WORDS
    assert again.parameter_count == model.parameter_count
    text = zipf_text(WORDS, 30, seed=2, repeated=0.2)
    np.testing.assert_allclose(again.token_nll(text), model.token_nll(text), rtol=1e-8)
    again.save(tmp_path / "saved")
    np.testing.assert_array_equal(ngrams.load(tmp_path / "saved").token_nll(text), again.token_nll(text))


def test_without_eos_a_file_has_an_eos_of_probability_zero(tmp_path):
    words = vocabulary(8, eos=False)
    model = ngrams.train(zipf_text(words, 20), words, 2)
    ngrams.write_arpa(model, tmp_path / "model.arpa")
    again = ngrams.load(tmp_path / "model.arpa")
    assert set(again.vocabulary.tokens) == {*words.tokens, "<eos>"}
    state, token = again.initial_state(), np.asarray(again.vocabulary.start_id)
    log_probs = again.log_probs(state, token)[1]
    assert log_probs[again.vocabulary.eos_id] < -98.9 * math.log(10)
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1.0, rtol=1e-7)


def test_a_file_of_another_toolkit(tmp_path):
    path = tmp_path / "model.arpa"
    path.write_text(FOREIGN)
    model = ngrams.load(path)
    assert model.vocabulary == Vocabulary("word", ("z", "<eos>", "x", "y", "<UNK>"), "<UNK>", "<eos>")
    text = model.vocabulary.encode(["x z", "x y z", "y other", "", "z z"])
    log10 = [
        *(-0.25, -0.05, -0.6),  # <s> x · <s> x z · [x z has b = 1] z </s>
        *(-0.25, -0.1 - 0.3 - 0.9, -0.15, -0.6),  # … · b(<s> x) b(x) y · x y z, without x y · …
        *(-0.2 - 0.9, -1.5, -0.7),  # b(<s>) y · <UNK> after what was never seen · </s>
        -0.2 - 0.7,
        *(-0.2 - 1.0, -0.5 - 1.0, -0.6),
    ]
    np.testing.assert_allclose(-model.token_nll(text) / math.log(10), log10, rtol=1e-12)
    # the context that was put in changes nothing, and is written as what it means
    assert model.parameter_count == 5 + (3 + 1) + 2
    ngrams.write_arpa(model, tmp_path / "again.arpa")
    again = ngrams.load(tmp_path / "again.arpa")
    np.testing.assert_allclose(again.token_nll(text), model.token_nll(text), rtol=1e-8)


def test_missing_contexts_of_several_orders_are_inserted(tmp_path):
    path = tmp_path / "model.arpa"
    lines = ["\\data\\", "ngram 1=4", "ngram 2=0", "ngram 3=0", "ngram 4=1", "\\1-grams:"]
    lines += ["-0.5 <s> -0.25", "-0.6 a -0.125", "-0.7 b -0.5", "-0.8 </s>"]
    lines += ["\\2-grams:", "\\3-grams:", "\\4-grams:", "-0.1 a b a </s>", "\\end\\"]
    path.write_text("\n".join(lines) + "\n")
    model = ngrams.load(path)
    text = model.vocabulary.encode(["a b a", "a a"])
    log10 = [-0.25 - 0.6, -0.125 - 0.7, -0.5 - 0.6, -0.1, -0.25 - 0.6, -0.125 - 0.6, -0.125 - 0.8]
    np.testing.assert_allclose(-model.token_nll(text) / math.log(10), log10, rtol=1e-12)


def change(number, line):
    """The well-formed file with a line (from 1) replaced, or left out."""
    lines = small()
    lines[number - 1 : number] = [] if line is None else [line]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("number", "line", "saying"),
    [
        (5, None, "line 5: the size of order 2 is missing"),
        (4, "ngram 1=seven", "line 4: no line 'ngram 1=COUNT' follows"),
        (8, "\\2-grams:", "line 8: expected \\1-grams: here"),
        (9, "-1.0 z w -0.5", "line 9: expected a logarithm, 1 words"),
        (9, "-1.0", "line 9: expected a logarithm, 1 words"),
        (9, "minus z -0.5", "line 9: could not convert"),
        (9, "nan z", "line 9: a logarithm of a probability is 0 or less"),
        (9, "0.5 z", "line 9: a logarithm of a probability is 0 or less"),
        (9, "-0.5 z inf", "line 9: a logarithm of a probability is 0 or less, and a backoff weight is finite"),
        (13, "-0.9 x", "line 13: the word 'x' occurs twice"),
        (14, None, "line 15: there are 5 1-grams before this where 6 were declared"),
        (18, "-0.5 x q", "line 18: 'q' is not among the unigrams"),
        (18, "-0.25 <s> x", "has some 2-gram twice"),
        (22, "\\4-grams:", "line 22: expected \\3-grams: here"),
        (26, None, "line 25: the file ends before \\end\\"),
        (26, "\\4-grams:", "line 26: expected \\end\\ here"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_errors_name_the_line(number, line, saying, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("rnnlm_jax.ngrams.arpa_reading.CHUNK", chunk)
    path = tmp_path / "model.arpa"
    path.write_text(change(number, line))
    with pytest.raises(DataError) as caught:
        ngrams.read_arpa(path)
    assert saying in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_are_not_models_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot find the ARPA file"):
        ngrams.read_arpa(tmp_path / "none")
    with pytest.raises(DataError, match="is a directory"):
        ngrams.read_arpa(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(DataError, match="ends before"):
        ngrams.read_arpa(tmp_path / "empty")
    cut = gzip.compress(FOREIGN.encode())[:-30]
    (tmp_path / "cut.gz").write_bytes(cut)
    with pytest.raises(DataError, match="damaged"):
        ngrams.read_arpa(tmp_path / "cut.gz")
    (tmp_path / "latin").write_bytes(FOREIGN.replace("-0.9 y", "-0.9 é").replace("x y z", "x é z").encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        ngrams.read_arpa(tmp_path / "latin")
    (tmp_path / "nothing").write_text("\\data\\\nngram 1=1\n\\1-grams:\n-99 <s>\n\\end\\\n")
    with pytest.raises(DataError, match="no unigrams"):
        ngrams.read_arpa(tmp_path / "nothing")


@pytest.mark.parametrize("token", [" ", "a b", "<s>", "</s>", "<unk>"])
def test_tokens_that_the_format_cannot_hold_are_refused(token, tmp_path):
    words = Vocabulary("word", ("a", token, "<rare>", "<eos>"), "<rare>", "<eos>")
    model = ngrams.train(words.encode(["a a"]), words, 2)
    with pytest.raises(ArgumentError, match="cannot hold the token"):
        ngrams.write_arpa(model, tmp_path / "model.arpa")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_is_skipped(tmp_path, pack, end):
    ngrams.write_arpa(ngrams.train(zipf_text(WORDS, 40), WORDS, 2), tmp_path / "plain")
    text = zipf_text(WORDS, 20, seed=3)
    expected = ngrams.load(tmp_path / "plain").token_nll(text)
    content = (tmp_path / "plain").read_bytes().replace(b"\n", end)
    (tmp_path / "marked").write_bytes(pack(b"\xef\xbb\xbf" + content))
    for read in (ngrams.load, ngrams.read_arpa):
        np.testing.assert_array_equal(read(tmp_path / "marked").token_nll(text), expected)
