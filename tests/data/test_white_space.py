"""Words are split at ASCII white space in texts, vocabularies, lists, ARPA files and the exported script alike."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm_jax import ngrams
from rnnlm_jax.data import Vocabulary, build_vocabulary, read_vocabulary_file, split_words, strip_space
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.rescoring import read_nbest, read_references, word_errors
from rnnlm_jax.interop.exporting.score import words as words_of_script

#: What Unicode has for white space and ASCII has not, or does not call so.
OTHERS = "\u00a0\u3000\u2028\u2029\u0085\u001c\u001d\u001e\u001f\u1680\u2003\u202f\u205f"
LINES = [f"a{other}b {other} c\td{other}" for other in OTHERS]


@given(st.text(st.sampled_from(" \t\n\r\v\fab\u00e9" + OTHERS)))
def test_words_equal_those_of_bytes_split(line):
    expected = [word.decode() for word in line.encode().split()]
    assert split_words(line) == words_of_script(line) == expected
    assert strip_space(line) == line.encode().strip().decode()


@pytest.mark.parametrize("line", LINES, ids=ascii)
def test_vocabularies_models_and_files_split_alike(line, tmp_path):
    words = split_words(line)
    assert len(words) == 4
    vocabulary = build_vocabulary([line])
    assert set(vocabulary.tokens) == {*words, "<unk>", "<eos>"}
    text = vocabulary.encode([line])
    assert (text.oov, text.words) == (0, 5)
    for level in ("char", "byte"):
        assert build_vocabulary([line], level).encode([line]).words == 5
    model = ngrams.train(text, vocabulary, 2)
    ngrams.write_arpa(model, tmp_path / "model.arpa")
    again = ngrams.load(tmp_path / "model.arpa")
    assert again.vocabulary == vocabulary
    np.testing.assert_allclose(again.token_nll(text), model.token_nll(text), rtol=1e-7)
    list_words = tmp_path / "words"
    list_words.write_text("".join(f"{word}\n" for word in vocabulary.tokens))
    assert read_vocabulary_file(list_words).tokens == vocabulary.tokens


@pytest.mark.parametrize("line", LINES, ids=ascii)
def test_rescoring_counts_the_same_words(line, tmp_path):
    line = line.replace("\t", " ")
    path = tmp_path / "list"
    for content in (f"u\t-1\t{line}\n", f"u ||| {line} ||| lm= -1 ||| -1\n", f"u-1 {line}\n"):
        path.write_text(content)
        (tmp_path / "scores").write_text("u-1 -1\n")
        nbest = read_nbest(path, [tmp_path / "scores"] if content.startswith("u-1") else [])
        assert nbest.texts == (line,)
        assert nbest.word_counts().tolist() == [4]
    (tmp_path / "refs").write_text(f"u\t{line}\nv {line}\n")
    assert read_references([tmp_path / "refs"]) == {"u": line, "v": line}
    errors = word_errors([line], [line.replace(" ", "  "), "a b c d"][:1], np.array([0]))
    assert errors.errors.tolist() == [0]
    assert word_errors(["x"], [line], np.array([0])).deletions.tolist() == [3]


def test_the_word_count_of_subwords():
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0}, []))
    words = Vocabulary("subword", ("a",), None, "a", tokenizer.to_str())
    assert words.encode(LINES).words == 5 * len(LINES)


def test_words_with_a_vertical_tab_are_refused(tmp_path):
    """KenLM takes them for words in an ARPA file, and for two in a text."""
    path = tmp_path / "model.arpa"
    path.write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<unk>\n-1\t</s>\n-1\ta\vb\n\n\\end\\\n")
    with pytest.raises(DataError, match="line 7: a vertical tab"):
        ngrams.load(path)


def test_a_word_with_unicode_white_space_is_found(tmp_path):
    path = Path(tmp_path / "model.arpa")
    for other in OTHERS:
        word = f"a{other}b"
        path.write_text(
            f"\\data\\\nngram 1=4\n\n\\1-grams:\n-1\t<unk>\n-0.5\t</s>\n-99\t<s>\n-0.25\t{word}\n\n\\end\\\n"
        )
        model = ngrams.load(path)
        text = model.vocabulary.encode([word, f"{word} a b"])
        log10 = -model.token_nll(text) / math.log(10)
        np.testing.assert_allclose(log10, [-0.25, -0.5, -0.25, -1, -1, -0.5], rtol=1e-12)
