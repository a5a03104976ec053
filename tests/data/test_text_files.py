"""Text files: what a line is, how a text is split, and errors for files that cannot be read."""

import gzip
import os
import threading
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnlm_jax.data import CORPORA, load_corpus, read_lines, read_text
from rnnlm_jax.errors import DataError

SPLITS = ("train", "valid", "test")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@given(lines=st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_newlines_end_lines(tmp_path, lines):
    if lines[0].startswith("\ufeff"):  # a byte order mark
        return
    path = tmp_path / "text.txt"
    for end in ("\n", "\r\n"):
        write(path, "".join(line + end for line in lines))
        assert list(read_lines(path)) == lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),  # a byte order mark, no newline at the end
        ("a\u2028b\x0bc\x0c\x85d\rf\n", ["a\u2028b\x0bc\x0c\x85d\rf"]),
        ("\n\na\n\n", ["", "", "a", ""]),
        ("\n", [""]),
    ],
)
def test_line_separators_and_byte_order_marks(tmp_path, content, lines):
    assert list(read_lines(write(tmp_path / "text.txt", content))) == lines


def test_a_byte_that_is_not_utf8_is_named_by_its_offset(tmp_path):
    path = write(tmp_path / "text.txt", "é\n".encode() + b"ab\xff\n")
    with pytest.raises(DataError, match=r"is not UTF-8 \(at byte 5\)"):
        list(read_lines(path))
    with pytest.raises(DataError, match="at byte 4"):
        list(read_lines(write(path, b"\xef\xbb\xbfa\xff")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "cannot find the file"),
        (lambda path: write(path, ""), "is empty"),
        (lambda path: write(path, b"\xef\xbb\xbf"), "is empty"),
        (lambda path: path.mkdir() or path, "is a directory"),
    ],
)
def test_files_that_cannot_be_read_are_errors_of_one_line(tmp_path, make, message):
    with pytest.raises(DataError, match=message) as caught:
        read_lines(make(tmp_path / "text.txt"))  # at once, not on the first line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("train.txt", "validation.txt", "test.txt"),
        ("a-train.txt", "a-dev.txt", "a-test.txt"),
        ("TRAIN.TXT", "Valid.Txt", "test.TOKENS"),
        ("wiki.train.raw", "wiki.valid.raw", "wiki.test.raw"),
        ("train.train.txt", "dev-validation.txt", "test.tokens"),
    ],
)
def test_file_names_in_a_directory_give_the_splits(tmp_path, names):
    for split, name in zip(SPLITS, names, strict=True):
        write(tmp_path / name, f"{split}\n")
    write(tmp_path / "README.md", "about train\n")
    write(tmp_path / "._train.txt", b"\x00\x05\x16\x07 hidden")
    write(tmp_path / ".test.txt", "hidden\n")
    (tmp_path / "train.raw").mkdir()
    write(tmp_path / "training.txt", "another text\n")
    corpus = load_corpus(str(tmp_path))
    assert {split: list(corpus.lines(split)) for split in corpus.splits} == {split: [split] for split in SPLITS}


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["train.txt.gz", "TRAIN.TXT.GZ", "wiki.train.tokens.gz"])
def test_compressed_files_are_read_as_splits(tmp_path, name, compress):
    write(tmp_path / name, compress("é train\n".encode()))
    assert list(load_corpus(str(tmp_path)).lines("train")) == ["é train"]


def test_a_pipe_can_be_the_text_of_a_split(tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    threading.Thread(target=write, args=(tmp_path / "train.txt", "a b\nc\n"), daemon=True).start()
    corpus = load_corpus(str(tmp_path))
    assert [list(corpus.lines("train")) for _ in range(3)] == [["a b", "c"]] * 3


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("test-dev.txt", "test and valid"),
        ("train_valid.txt", "train and valid"),
        ("Dev.Test.TOKENS", "valid and test"),
        ("wiki.train.test.raw", "train and test"),
    ],
)
def test_a_file_of_two_splits_is_refused(tmp_path, name, splits):
    write(tmp_path / "train.txt", "a\n")
    write(tmp_path / name, "b\n")
    with pytest.raises(DataError, match=f"{name} is named after two splits, {splits}: name it after one"):
        load_corpus(str(tmp_path))


def test_a_missing_split_is_an_error_on_use(tmp_path):
    write(tmp_path / "train.txt", "a\n")
    corpus = load_corpus(str(tmp_path))
    with pytest.raises(DataError, match="has no split 'valid': choose one of train"):
        corpus.lines("valid")


def test_directories_without_splits_or_with_two_texts_for_one_are_refused(tmp_path):
    with pytest.raises(DataError, match="has no splits: put train.txt"):
        load_corpus(str(tmp_path))
    write(tmp_path / "train.txt", "a\n")
    write(tmp_path / "a.train.txt", "a\n")
    with pytest.raises(DataError, match="two train files, a.train.txt and train.txt"):
        load_corpus(str(tmp_path))
    (tmp_path / "a.train.txt").rename(tmp_path / "TRAIN.TXT")
    with pytest.raises(DataError, match="two train files, TRAIN.TXT and train.txt"):
        load_corpus(str(tmp_path))


def cut(path):
    corpus = load_corpus(str(path))
    return [list(corpus.lines(split)) for split in SPLITS]


@given(lengths=st.lists(st.integers(0, 50), min_size=3, max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_is_cut_into_consecutive_lines(tmp_path, lengths):
    lines = [f"{k}" + "x" * length for k, length in enumerate(lengths)]
    parts = cut(write(tmp_path / "text.txt", "\n".join(lines)))
    assert list(chain(*parts)) == lines
    assert all(parts)


def test_a_file_is_cut_by_position(tmp_path):
    train, valid, test = cut(write(tmp_path / "text.txt", "".join(f"{k:04d}\n" for k in range(1000))))
    assert (len(train), len(valid), len(test)) == (900, 50, 50)


def test_a_single_line_is_cut_between_words(tmp_path):
    words = [str(k) for k in range(10_000)]
    parts = cut(write(tmp_path / "text.txt", " ".join(words)))
    assert [len(part) for part in parts] == [1, 1, 1]
    assert list(chain(*(part[0].split() for part in parts))) == words
    sizes = [len(part[0]) / sum(len(part[0]) for part in parts) for part in parts]
    assert sizes == pytest.approx([0.9, 0.05, 0.05], abs=1e-3)


def test_a_single_line_is_cut_at_the_white_space_that_ends_words(tmp_path):
    parts = cut(write(tmp_path / "text.txt", "a\u00a0b " * 200))
    assert {word for part in parts for line in part for word in line.split(" ") if word} == {"a\u00a0b"}


def test_a_pipe_is_cut_like_a_file(tmp_path):
    for content in ("".join(f"{k:04d}\n" for k in range(5000)), " ".join(map(str, range(9000)))):
        expected = cut(write(tmp_path / "text.txt", content))
        assert cut(write(tmp_path / "text.gz", gzip.compress(content.encode()))) == expected
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        threading.Thread(target=write, args=(fifo, content), daemon=True).start()
        assert cut(fifo) == expected
        fifo.unlink()


def test_a_pipe_is_read_from_its_first_byte(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    lines = [f"line {k}" for k in range(20_000)]
    threading.Thread(target=write, args=(tmp_path / "fifo", "\n".join(lines)), daemon=True).start()
    assert list(read_lines(tmp_path / "fifo")) == lines


def test_a_damaged_archive_is_an_error(tmp_path):
    packed = gzip.compress("\n".join(f"line {k}" for k in range(50_000)).encode())
    changed = packed[:5000] + bytes([packed[5000] ^ 255]) + packed[5001:]
    for content in (packed[:-4], packed[: len(packed) // 2], changed, packed[:5], b"\x1f\x8b no"):
        with pytest.raises(DataError, match="is damaged"):
            list(read_lines(write(tmp_path / "text.txt.gz", content)))


def test_a_single_line_without_spaces_is_cut_between_characters(tmp_path):
    parts = cut(write(tmp_path / "text.txt", "abcdefghij" * 10))
    assert "".join(part[0] for part in parts) == "abcdefghij" * 10
    assert [len(part[0]) for part in parts] == [90, 5, 5]


@pytest.mark.parametrize("content", ["a", "ab cd", "one\ntwo"])
def test_a_text_too_short_to_be_split_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="too short"):
        load_corpus(str(write(tmp_path / "text.txt", content)))


def test_the_error_for_an_unknown_corpus_lists_the_known_ones():
    with pytest.raises(DataError) as caught:
        load_corpus("no-such-corpus")
    assert all(name in str(caught.value) for name in CORPORA) and "\n" not in str(caught.value)


def parts_of(folder, lines, sizes, names):
    """Write lines to several files."""
    folder.mkdir()
    start = 0
    for name, size in zip(names, sizes, strict=True):
        part = "".join(f"{line}\n" for line in lines[start : start + size])
        write(folder / name, gzip.compress(part.encode()) if name.endswith(".gz") else part)
        start += size


MANY = [f"{k} é" + "x" * (k % 13) for k in range(3000)]
SIZES = (2890, 1, 9, 100)


@pytest.mark.parametrize("size", [50, 2**20])
@pytest.mark.parametrize("names", [("a1.txt", "a2.txt.gz", "a9.raw", "a10.txt"), ("1.txt", "2.txt", "3.txt", "10.txt")])
def test_files_of_one_text_are_cut_like_one_file(tmp_path, monkeypatch, names, size):
    monkeypatch.setattr("rnnlm_jax.data.corpora.text_reading.BLOCK_SIZE", size)  # many blocks, or one
    expected = cut(write(tmp_path / "all.txt", "".join(f"{line}\n" for line in MANY)))
    parts_of(tmp_path / "parts", MANY, SIZES, names)
    assert cut(tmp_path / "parts") == expected
    assert cut(tmp_path / "parts" / "*") == expected
    assert list(read_text(tmp_path / "parts" / "*.[tr]*")) == MANY


def test_a_pattern_of_files_of_one_split_is_one_text(tmp_path):
    parts_of(tmp_path / "parts", MANY, SIZES, [f"train-{k}.txt" for k in range(4)])
    assert list(chain(*cut(tmp_path / "parts" / "train-*.txt"))) == MANY
    corpus = load_corpus(str(tmp_path / "parts"))
    assert list(corpus.splits) == ["train"]
    assert list(corpus.lines("train")) == MANY
    write(tmp_path / "parts" / "valid.txt", "a\n")
    assert list(load_corpus(str(tmp_path / "parts" / "*.txt")).splits) == ["train", "valid"]
    write(tmp_path / "parts" / "more.txt", "a\n")
    with pytest.raises(DataError, match="matches files of several splits and .*more.txt, which is of none"):
        load_corpus(str(tmp_path / "parts" / "*.txt"))


def test_subfolders_can_be_splits(tmp_path):
    parts_of(tmp_path / "train", MANY, SIZES, ["one.txt", "two.txt.gz", "3.tokens", "4.raw"])
    parts_of(tmp_path / "Valid", ["a"], [1], ["some.txt"])
    parts_of(tmp_path / "other", ["b"], [1], ["train.txt"])
    corpus = load_corpus(str(tmp_path))
    assert sorted(corpus.lines("train")) == sorted(MANY)
    assert list(corpus.lines("valid")) == ["a"]


def test_patterns_without_matches_and_files_named_like_patterns(tmp_path):
    with pytest.raises(DataError, match=r"no file matches .*news-\*.txt: check the pattern, and quote it"):
        load_corpus(str(tmp_path / "news-*.txt"))
    path = write(tmp_path / "text[1].txt", "a\n")
    assert list(read_text(path)) == ["a"]
    assert list(read_text(tmp_path / "text[[]1*")) == ["a"]


def test_an_empty_or_repeated_shard_is_refused(tmp_path):
    parts_of(tmp_path / "parts", MANY, SIZES, [f"train-{k}.txt" for k in range(4)])
    write(tmp_path / "parts" / "train-2.txt.gz", gzip.compress(b"a\n"))
    with pytest.raises(DataError, match="two train files"):
        load_corpus(str(tmp_path / "parts"))
    (tmp_path / "parts" / "train-2.txt.gz").unlink()
    write(tmp_path / "parts" / "train-2.txt", "")
    with pytest.raises(DataError, match=r"train-2.txt is empty"):
        list(load_corpus(str(tmp_path / "parts")).lines("train"))
