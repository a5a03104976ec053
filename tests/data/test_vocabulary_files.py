"""Vocabulary files: JSON of this library, or text with one word a line."""

import gzip

import pytest

from rnnlm_jax.data import Vocabulary, build_vocabulary, read_vocabulary_file
from rnnlm_jax.errors import DataError

WORDS = "the\n<unk>\ncat \n<eos>\n"
READ = Vocabulary("word", ("the", "<unk>", "cat", "<eos>"), "<unk>", "<eos>")


@pytest.mark.parametrize(
    "content",
    [
        WORDS.encode(),
        WORDS.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + WORDS.encode(),
        gzip.compress(WORDS.encode()),
    ],
    ids=["plain", "crlf", "bom", "gzip"],
)
def test_a_list_of_words(tmp_path, content):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    assert read_vocabulary_file(path) == READ


@pytest.mark.parametrize(
    ("content", "unk", "eos"),
    [
        ("the\ncat\n", None, None),
        ("the\n</s>\n<s>\n", None, "</s>"),
        ("</s>\n<eos>\n<unk>\n", "<unk>", "<eos>"),
        ("{\n<unk>\n}\n", "<unk>", None),
    ],
)
def test_policies_are_those_of_the_list(tmp_path, content, unk, eos):
    path = tmp_path / "words.txt"
    path.write_text(content)
    assert read_vocabulary_file(path) == Vocabulary("word", tuple(content.split()), unk, eos)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"the\n\ncat\n", "line 2 of .*words.txt is empty: give one word a line"),
        (b"the cat\n", "line 1 of .*words.txt holds 2 words: give one word a line"),
        (b"the\ncat\nthe\n", "line 3 of .*words.txt repeats 'the' of line 1: give each word once"),
        (b"", "words.txt is empty"),
        (b"caf\xe9\n", "words.txt is not UTF-8"),
        (b'["the", "cat"]\n', "line 1 of .*words.txt holds 2 words"),
        (b'{"format": "rnnlm_jax voca', "line 1 of .*words.txt holds 3 words"),
    ],
)
def test_lists_that_are_not_one_word_a_line_are_refused(tmp_path, content, said):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_vocabulary_file(path)


def test_json_is_recognised_by_its_content_or_name(tmp_path):
    words = build_vocabulary(["the cat sat"])
    words.save(tmp_path / "saved")
    assert read_vocabulary_file(tmp_path / "saved") == words
    (tmp_path / "list.json").write_text("the\ncat\n")
    with pytest.raises(DataError, match="not a readable vocabulary file"):
        read_vocabulary_file(tmp_path / "list.json")
