"""Vocabularies: order, policies, round trips and files."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm_jax.data import Vocabulary, build_vocabulary, require_in_vocabulary
from rnnlm_jax.errors import ArgumentError, DataError

TEXT = ["the cat saw the dog", "", "the dog <unk> ran"]

words = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=4)
word_lines = st.lists(st.lists(words, max_size=6).map(" ".join), min_size=1, max_size=6).filter(
    lambda lines: any(line.split() for line in lines)
)
raw_lines = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=6).filter(any)


def test_words_are_ordered_by_count_then_by_code_point_and_specials_count_like_any_other():
    vocabulary = build_vocabulary(TEXT)
    # the 3, <eos> 3 (a line each), dog 2, then one each
    assert vocabulary.tokens == ("<eos>", "the", "dog", "<unk>", "cat", "ran", "saw")


def test_cut_words_count_for_unk():
    vocabulary = build_vocabulary(TEXT, min_count=2)
    # <unk> 1 + cat, ran, saw = 4
    assert vocabulary.tokens == ("<unk>", "<eos>", "the", "dog")
    assert build_vocabulary(TEXT, max_size=4) == vocabulary


def test_words_have_unk_even_if_none_was_removed():
    vocabulary = build_vocabulary(["a b"])
    assert vocabulary.tokens[-1] == "<unk>"
    assert vocabulary.encode(["a c"]).tokens.tolist() == [vocabulary.index["a"], vocabulary.unk_id, vocabulary.eos_id]


def test_oov_counts_what_was_unknown_and_not_a_literal_unk():
    encoded = build_vocabulary(["a b"]).encode(["<unk> a zzz", "b"])
    assert encoded.oov == 1
    assert encoded.characters == len("<unk> a zzz\nb\n")
    assert encoded.line_ends.tolist() == [4, 6]
    assert [line.size for line in encoded.lines()] == [4, 2]
    assert encoded.tokens.dtype == np.int32 and encoded.line_ends.dtype == np.int64


def test_without_unk_an_unknown_token_is_an_error_that_names_it_and_its_line():
    vocabulary = build_vocabulary(["a b"], unk=None)
    with pytest.raises(DataError, match=r"^'c' in line 2 is not in the vocabulary.*$"):
        vocabulary.encode(["a", "b c"])
    with pytest.raises(DataError, match="'c' is not"):
        vocabulary.encode_line("c")


def test_without_eos_nothing_is_appended():
    encoded = build_vocabulary(["a b", "c"], eos=None).encode(["a b", "c"])
    assert len(encoded) == 3 and encoded.characters == 4 and encoded.line_ends.tolist() == [2, 3]


def test_character_level_has_unk_only_if_given_or_needed():
    assert set(build_vocabulary(["ab", "a"], "char").tokens) == {"a", "b", "\n"}
    assert "<unk>" in build_vocabulary(["ab"], "char", unk="<unk>").tokens
    cut = build_vocabulary(["aab"], "char", max_size=3)
    assert set(cut.tokens) == {"a", "\n", "<unk>"}
    assert cut.encode(["bb"]).oov == 2


def test_byte_ids_are_the_bytes():
    vocabulary = build_vocabulary([], "byte")
    encoded = vocabulary.encode(["é\u2028", ""])
    assert encoded.tokens.tolist() == list("é\u2028\n\n".encode())
    assert encoded.characters == 4 and encoded.oov == 0
    assert vocabulary.size == 256 and vocabulary.eos_id == 10
    assert vocabulary.decode([0xC3]) == "\ufffd"


@given(raw_lines)
def test_characters_and_bytes_round_trip(lines):
    text = "".join(line + "\n" for line in lines)
    for level in ("char", "byte"):
        vocabulary = build_vocabulary(lines, level)
        encoded = vocabulary.encode(lines)
        assert vocabulary.decode(encoded.tokens) == text
        assert encoded.characters == len(text)


@given(word_lines)
def test_words_round_trip(lines):
    vocabulary = build_vocabulary(lines, unk=None)
    encoded = vocabulary.encode(lines)
    assert vocabulary.decode(encoded.tokens).split("\n")[:-1] == [" ".join(line.split()) for line in lines]
    assert [line[:-1].tolist() for line in encoded.lines()] == [vocabulary.encode_line(line) for line in lines]


@given(word_lines, st.integers(1, 3))
def test_ids_are_ranks(lines, min_count):
    vocabulary = build_vocabulary(lines, min_count=min_count)
    counts = np.bincount(vocabulary.encode(lines).tokens, minlength=vocabulary.size)
    assert (np.diff(counts) <= 0).all()
    assert set(vocabulary.tokens) == set(build_vocabulary(reversed(lines), min_count=min_count).tokens)


def test_ascii_white_space_alone_separates_words():
    words = build_vocabulary(["a\u00a0b\tc  d\u2028"], unk=None)
    assert words.tokens == ("<eos>", "a\u00a0b", "c", "d\u2028")
    assert words.encode_line(" c\x0bd\u2028\x0ca\u00a0b\t") == [2, 3, 1]


def test_a_line_of_a_million_tokens():
    vocabulary = build_vocabulary(["a b"])
    assert len(vocabulary.encode(["a b " * 500_000])) == 1_000_001


@given(word_lines)
def test_hash_is_a_function_of_the_content(lines):
    vocabulary = build_vocabulary(lines)
    assert vocabulary.content_hash == build_vocabulary(lines).content_hash
    assert vocabulary.content_hash != build_vocabulary([*lines, "zzzzz"]).content_hash


def test_hash_covers_level_policies_and_order():
    tokens = ("a", "b", "\n")
    variants = [
        Vocabulary("word", tokens, None, None),
        Vocabulary("char", tokens, None, None),
        Vocabulary("char", tokens, "a", None),
        Vocabulary("char", tokens, None, "\n"),
        Vocabulary("char", ("b", "a", "\n"), None, None),
    ]
    assert len({v.content_hash for v in variants}) == len(variants)


@pytest.mark.parametrize("level", ["word", "char", "byte"])
def test_save_and_load(tmp_path, level):
    vocabulary = build_vocabulary(["ünïcode \u2028 \x0b \U0001f600", "\ta"], level)
    path = tmp_path / "run" / "vocabulary.json"
    vocabulary.save(path)
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary
    assert Vocabulary.load(path).content_hash == vocabulary.content_hash
    assert [file.name for file in path.parent.iterdir()] == ["vocabulary.json"]


def test_load_refuses_changed_files(tmp_path):
    path = tmp_path / "vocabulary.json"
    with pytest.raises(DataError, match="cannot find the vocabulary file"):
        Vocabulary.load(path)
    build_vocabulary(["a b"]).save(path)
    intact = json.loads(path.read_text())
    for damaged in (
        path.read_text()[:-20],
        json.dumps(intact | {"tokens": ["a", "c", *intact["tokens"][2:]]}),
        json.dumps(intact | {"tokens": intact["tokens"][1:]}),
        json.dumps(intact | {"unk": None}),
        json.dumps(intact | {"level": "char"}),
        json.dumps({key: value for key, value in intact.items() if key != "sha256"}),
        "[]",
        "{}",
    ):
        path.write_text(damaged)
        with pytest.raises(DataError) as caught:
            Vocabulary.load(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_describe_is_one_line():
    assert build_vocabulary(TEXT).describe() == "word level, 7 types, <unk> for unknown words, <eos> ends each line"
    assert "\n" not in build_vocabulary(TEXT, "char").describe() + build_vocabulary([], "byte").describe()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "syllable"}, "unknown level 'syllable'"),
        ({"min_count": 0}, "`min_count` must be at least 1, not 0"),
        ({"max_size": -1}, "`max_size` must be at least 1, not -1"),
        ({"max_size": 2}, "`max_size`=2 leaves no room"),
        ({"min_count": 2, "unk": None}, "give `unk`"),
        ({"unk": "x", "eos": "x"}, "different tokens"),
        ({"level": "byte", "max_size": 100}, "always has 256 types"),
        ({"level": "byte", "unk": "?"}, "without an unknown token"),
    ],
)
def test_impossible_arguments_are_refused_in_one_line(settings, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        build_vocabulary(["a b"], **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_an_empty_text_is_refused(lines):
    with pytest.raises(DataError, match="no tokens"):
        build_vocabulary(lines)


def test_ids_out_of_range_are_refused():
    vocabulary = build_vocabulary(["a"])
    for wrong in (-1, vocabulary.size):
        with pytest.raises(ArgumentError, match=f"{wrong} is not a token id"):
            vocabulary.decode([0, wrong])


def test_a_text_must_share_something_with_the_vocabulary():
    vocabulary = build_vocabulary(["a b"])
    known = vocabulary.encode(["a zz"])
    assert require_in_vocabulary(known, vocabulary, "x") is known
    literal = vocabulary.encode(["<unk>"])  # stands in the text, so it is known
    assert require_in_vocabulary(literal, vocabulary, "x") is literal
    with pytest.raises(DataError, match="none of the 2 tokens of news.txt is in the vocabulary"):
        require_in_vocabulary(vocabulary.encode(["yy zz", ""]), vocabulary, "news.txt")
    for nothing in ([], [""]):
        with pytest.raises(DataError, match=r"^news.txt is empty"):
            require_in_vocabulary(vocabulary.encode(nothing), vocabulary, "news.txt")


def test_a_byte_order_mark_is_skipped(tmp_path):
    words = build_vocabulary(["a b"])
    (tmp_path / "words.json").write_text(words.to_json(), encoding="utf-8-sig")
    assert Vocabulary.load(tmp_path / "words.json") == words


def test_bytes_of_a_command_line_that_are_not_utf8():
    line = os.fsdecode(b"caf\xe9 \xff\xc3\xa9")
    found = build_vocabulary([], "byte")
    assert found.encode_line(line) == list(b"caf\xe9 \xff\xc3\xa9")
    assert found.decode(found.encode_line(line)) == "caf\ufffd \ufffd\u00e9"
    for level in ("word", "char"):
        with pytest.raises(DataError, match=r"'\\udce9' at character 4 is not a character, or not UTF-8"):
            build_vocabulary(["caf"], level, unk="<unk>").encode_line(line)
    for text in ("a\ud800", "\ud83d b"):
        with pytest.raises(DataError, match="is not a character"):
            found.encode_line(text)
        with pytest.raises(DataError, match="is not a character"):
            found.encode([text])
