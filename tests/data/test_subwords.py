"""Subwords: byte pairs by hand, exact decoding, and files that contain their tokenizer."""

import hashlib
import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from rnnlm_jax import ngrams
from rnnlm_jax.data import Vocabulary, build_vocabulary, read_lines
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.perplexity import evaluation_from_nll

LINES = ["the cat sat on the mat", "a dog ran to the cat", "", "the mat is on a dog ", " ran  the <eos> café 中文"]
#: Hashes of the vocabularies of `["the cat saw the dog", "", "the dog <unk> ran"]` and of their files in the first
#: version, whose runs must still load.
KNOWN = {
    "word": ("5542584d5d38646875d80b1ae55e16410c1ef1f49686dbf8ed3406e019acbd0c", "1b5de506eb3d6a4ddedd52f39c5af298"),
    "char": ("c6c3fa753a8681b46045fa65c47ded6dc69452c1074550833b546c1c30efce8e", "2ea9f68907d95fec978bd0d317e38ec2"),
    "byte": ("5408f85c781dca4861f44ac80b8d632e99262a691f0da0fd5ff4419ab9c3e6a7", "73e3a06264767e0a19cd707fd9eabc7c"),
}
VOCABULARY = build_vocabulary(LINES, "subword", max_size=300)

raw_lines = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=6)


def test_byte_pairs_by_hand():
    """Of "ab ab ab": a b is seen three times, then the space and ab twice."""
    found = build_vocabulary(["ab ab ab"], "subword", max_size=258)
    assert found.tokens[256:] == ("ab", "\u0120ab")  # U+0120 is GPT-2's space
    assert found.encode(["ab ab", "b"]).tokens.tolist() == [256, 257, found.eos_id, found.index["b"], found.eos_id]
    assert build_vocabulary(["ab ab ab"], "subword", min_count=3).tokens[256:] == ("ab",)
    assert build_vocabulary(["ab ab ab"], "subword").size == 258  # there is nothing left to merge


def test_without_merges_tokens_are_bytes():
    found = build_vocabulary(LINES, "subword", max_size=256).encode(LINES)
    assert len(found) == sum(len(line.encode()) + 1 for line in LINES)
    assert np.diff(found.line_ends, prepend=0).tolist() == [len(line.encode()) + 1 for line in LINES]


@given(raw_lines)
def test_decoding_reproduces_every_text(lines):
    found = VOCABULARY.encode(lines)
    assert VOCABULARY.decode(found.tokens) == "".join(line + "\n" for line in lines)
    assert (found.lossy_lines, found.oov) == (0, 0)
    assert found.tokens.dtype == np.int32 and found.line_ends.dtype == np.int64
    assert [line[:-1].tolist() for line in found.lines()] == [VOCABULARY.encode_line(line) for line in lines]
    assert all(line[-1] == VOCABULARY.eos_id and VOCABULARY.eos_id not in line[:-1] for line in found.lines())


def test_words_and_characters_do_not_depend_on_the_level():
    found = {level: build_vocabulary(LINES, level).encode(LINES) for level in ("word", "char", "byte", "subword")}
    words = sum(len(line.split()) for line in LINES) + len(LINES)
    assert {text.words for text in found.values()} == {words}
    assert {text.characters for text in found.values()} == {sum(len(line) + 1 for line in LINES)}
    assert len(found["word"]) == words
    assert build_vocabulary(LINES, eos=None).encode(LINES).words == words - len(LINES)


def test_bytes_and_subwords_without_merges_have_the_same_nats():
    """The models are equal up to the numbering of types, and so are all metrics."""
    figures = []
    for words in (build_vocabulary([], "byte"), build_vocabulary(LINES, "subword", max_size=256)):
        model = ngrams.train(words.encode(LINES[:4]), words, 3)
        text = words.encode(LINES)
        figures.append(evaluation_from_nll(model.token_nll(text), text, "").summary())
    one, other = figures
    for name in ("nats", "word_perplexity", "character_perplexity", "bits_per_character"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)
    words = sum(len(line.split()) + 1 for line in LINES)
    np.testing.assert_allclose(one["word_perplexity"], np.exp(one["nats"] / words), rtol=1e-14)


def test_the_same_text_gives_the_same_vocabulary(monkeypatch):
    letters = np.random.default_rng(0).choice(list("abcdé"), size=(400, 9))
    lines = [" ".join("".join(part) for part in np.split(row, 3)) for row in letters]  # many pairs are equally frequent
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    one = build_vocabulary(lines, "subword", max_size=400)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    for _ in range(3):
        assert build_vocabulary(lines, "subword", max_size=400) == one


@pytest.mark.parametrize("level", KNOWN)
def test_hashes_and_files_of_vocabularies_do_not_change(level, tmp_path):
    path = tmp_path / "vocabulary.json"
    found = build_vocabulary(["the cat saw the dog", "", "the dog <unk> ran"], level)
    found.save(path)
    assert (found.content_hash, hashlib.sha256(path.read_bytes()).hexdigest()[:32]) == KNOWN[level]


def test_a_vocabulary_file_contains_its_tokenizer(tmp_path):
    path = tmp_path / "vocabulary.json"
    VOCABULARY.save(path)
    found = Vocabulary.load(path)
    assert found == VOCABULARY and found.content_hash == VOCABULARY.content_hash
    assert found.encode(LINES).tokens.tolist() == VOCABULARY.encode(LINES).tokens.tolist()
    content = json.loads(path.read_text())
    other = json.loads(content["tokenizer"])
    other["model"]["merges"][:2] = other["model"]["merges"][1::-1]
    for changed in (content | {"tokenizer": json.dumps(other)}, {k: v for k, v in content.items() if k != "tokenizer"}):
        path.write_text(json.dumps(changed))
        with pytest.raises(DataError, match="is corrupt"):
            Vocabulary.load(path)


def test_an_ngram_model_file_contains_its_tokenizer(tmp_path):
    model = ngrams.train(VOCABULARY.encode(LINES), VOCABULARY, 2)
    model.save(tmp_path / "counts.model")
    assert ngrams.load(tmp_path / "counts.model").vocabulary == VOCABULARY


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        ({"max_size": 255}, "no room for the 256 bytes"),
        ({"max_size": 0}, "`max_size` must be at least 1, not 0"),
        ({"unk": "<unk>"}, "leave `unk` and `eos` out"),
        ({"eos": None}, "leave `unk` and `eos` out"),
    ],
)
def test_impossible_arguments_are_refused(settings, saying):
    with pytest.raises(ArgumentError, match=saying):
        build_vocabulary(LINES, "subword", **settings)


@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_an_empty_text_is_refused(lines):
    with pytest.raises(DataError, match="no tokens"):
        build_vocabulary(lines, "subword")


def test_errors_of_reading_the_text_are_raised(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("the cat\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        build_vocabulary(read_lines(path), "subword")


def test_subwords_need_a_tokenizer_and_other_levels_none():
    with pytest.raises(ArgumentError, match="give both or neither"):
        Vocabulary("subword", ("a",), None, None)
    with pytest.raises(ArgumentError, match="give both or neither"):
        Vocabulary("char", ("a",), None, None, "{}")


def test_errors_without_tokenizers_say_what_to_install(monkeypatch, tmp_path):
    """A vocabulary can be loaded; encoding, decoding and building need the library."""
    VOCABULARY.save(tmp_path / "vocabulary.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    found = Vocabulary.load(tmp_path / "vocabulary.json")
    assert found.size == VOCABULARY.size
    for use in (
        lambda: found.encode(LINES),
        lambda: found.encode_line("the"),
        lambda: found.decode([0]),
        lambda: build_vocabulary(LINES, "subword"),
    ):
        with pytest.raises(DataError, match=r"pip install 'rnnlm_jax\[subwords\]'"):
            use()


def test_decoding_reproduces_real_text(real_text):
    lines = [line for _, line in zip(range(1500), read_lines(real_text / "wikitext-2" / "valid.txt"), strict=False)]
    found = build_vocabulary(lines, "subword", max_size=2000)
    text = found.encode(lines)
    assert found.size == 2000 and text.lossy_lines == 0
    assert found.decode(text.tokens) == "".join(line + "\n" for line in lines)
    assert text.words == sum(len(line.split()) + 1 for line in lines)
    counts = np.bincount(text.tokens, minlength=found.size)
    assert len(text) < text.characters / 2.5 and (counts[256:] > 0).mean() > 0.9
    # merges were taken by falling count, of pairs as they were then
    pairs = [sum(c) for c in pairwise(counts[256:])]
    assert np.mean(pairs[:200]) > np.mean(pairs[-200:])
