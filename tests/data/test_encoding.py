"""Encoding by blocks gives the ids, line ends and counts of the definition, for any bounds of blocks and files."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnlm_jax.data import (
    SentenceBatches,
    StreamBatches,
    build_vocabulary,
    encoding,
    read_lines,
    split_words,
    spooled_array,
)
from rnnlm_jax.data.corpora import text_reading
from rnnlm_jax.data.word_table import PADDING, WordTable
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams import BigramBaseline, baselines
from rnnlm_jax.outputs.word_counts import WordCounts

#: Few letters, so that words repeat; a NUL, letters of two to four bytes, and white space of both kinds.
LETTERS = "ab\0é\u3000\U0001f600 \t\r\u2028"
LINES = st.lists(st.text(LETTERS, max_size=40), min_size=1, max_size=12)
LEVELS = ("word", "char", "byte")


def tokens_of(line, level):
    return {"word": split_words, "char": list, "byte": lambda line: [chr(byte) for byte in line.encode()]}[level](line)


def encode_by_definition(vocabulary, lines):
    """Ids, line ends and counts, one token at a time."""
    ids, ends, oov, characters, words = [], [], 0, 0, 0
    for line in lines:
        found = [vocabulary.index.get(token, -1) for token in tokens_of(line, vocabulary.level)]
        oov += found.count(-1)
        ids += [vocabulary.unk_id if i < 0 else i for i in found]
        ids += [] if vocabulary.eos is None else [vocabulary.eos_id]
        characters += len(line) + (vocabulary.eos is not None)
        words += len(split_words(line)) + (vocabulary.eos is not None)
        ends.append(len(ids))
    return ids, ends, oov, characters, words


def fields(text):
    return text.tokens.tolist(), text.line_ends.tolist(), text.oov, text.characters, text.words


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks and pieces of a few bytes, so that every text has many."""
    monkeypatch.setattr(encoding, "_PIECE_BYTES", 7)
    monkeypatch.setattr(text_reading, "BLOCK_SIZE", 11)
    monkeypatch.setattr("rnnlm_jax.data.text_blocks.BLOCK_SIZE", 11)


@pytest.mark.parametrize("eos", ["<eos>", None])
@pytest.mark.parametrize("level", LEVELS)
@given(lines=LINES, known=LINES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_encoding_by_blocks_equals_the_definition(tmp_path, small_blocks, level, eos, lines, known):
    eos = eos if level == "word" or eos is None else "\n"
    vocabulary = build_vocabulary([*known, "a"], level, eos=eos, **({} if level == "byte" else {"unk": "<unk>"}))
    expected = encode_by_definition(vocabulary, lines)
    assert fields(vocabulary.encode(lines)) == expected
    # a carriage return at the end of a line is part of the line's end in a file
    lines = [line.removesuffix("\r") for line in lines]
    lines[0] = lines[0].removeprefix("\ufeff") or "a"
    for end in ("\n", "\r\n"):
        path = tmp_path / "text.txt"
        path.write_bytes((end.join(lines) + end).encode())
        if end == "\n" and any(line.endswith("\r") for line in lines):
            continue
        assert fields(vocabulary.encode(read_lines(path))) == encode_by_definition(vocabulary, lines)
        first, *rest = read_lines(path)
        assert [first, *rest] == lines
        reading = read_lines(path)
        next(reading)
        assert fields(vocabulary.encode(reading)) == encode_by_definition(vocabulary, rest)


@given(words=st.lists(st.binary(min_size=1, max_size=40), unique=True), others=st.lists(st.binary(min_size=1)))
def test_a_word_table_finds_its_words_only(words, others):
    table = WordTable(words[: len(words) // 2])
    table.add(words[len(words) // 2 :])
    queries = [*words, *others, *(word[:-1] + b"?" for word in words), *(word + b"\0" for word in words)]
    stops = np.cumsum(np.array([len(word) for word in queries], np.int64))
    buffer = np.frombuffer(b"".join(queries) + bytes(PADDING), np.uint8)
    numbers = {word: k for k, word in enumerate(words)}
    found = table.find(buffer, np.concatenate([[0], stops])[: stops.size].astype(np.int64), stops)
    assert found.tolist() == [numbers.get(word, -1) for word in queries]
    assert table.size == len(words)


def test_a_word_table_finds_words_of_equal_hashes(monkeypatch):
    """All hashes are equal, so that only probing and the comparison of bytes tell words apart."""
    monkeypatch.setattr("rnnlm_jax.data.word_table._FACTOR", np.uint64(0))
    test_a_word_table_finds_its_words_only.hypothesis.inner_test([b"%d" % k * 5 for k in range(300)], [b"9" * 40])


@pytest.mark.parametrize("level", LEVELS)
def test_a_memory_mapped_text_equals_one_in_memory(monkeypatch, tmp_path, level):
    rng = np.random.default_rng(0)
    words = [f"w{k}é" for k in range(400)]
    lines = [" ".join(rng.choice(words, rng.integers(0, 20))) for _ in range(300)]
    vocabulary = build_vocabulary(lines, level)
    text = vocabulary.encode(lines)
    monkeypatch.setattr(spooled_array, "MOST_IN_MEMORY", 100)
    monkeypatch.setattr("rnnlm_jax.data.text_blocks.BLOCK_SIZE", 1000)
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path))
    mapped = vocabulary.encode(lines)
    assert isinstance(mapped.tokens, np.memmap)
    assert (mapped.tokens.dtype, text.tokens.dtype) == (np.uint16, np.int32)
    assert list((tmp_path / "texts").iterdir()) == []  # the file has no name
    assert fields(mapped) == fields(text)
    assert mapped.digest == text.digest
    counted = [WordCounts.counted(vocabulary.tokens, found.tokens) for found in (mapped, text)]
    assert counted[0] == counted[1]
    for columns in (None, np.array([1, 3])):
        batches = [StreamBatches(found.tokens, 4, 9, first_input=3, columns=columns) for found in (mapped, text)]
        for one, two in zip(*batches, strict=True):
            assert_equal_batches(one, two)
        batches = [SentenceBatches(found, 4, seed=2, columns=columns).epoch(1) for found in (mapped, text)]
        for one, two in zip(*batches, strict=True):
            assert_equal_batches(one, two)


def assert_equal_batches(one, two):
    for a, b in zip(one, two, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_a_full_disk_is_an_error_of_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(spooled_array, "MOST_IN_MEMORY", 0)
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path))
    vocabulary = build_vocabulary(["a b"])

    def full(*arguments, **options):
        return open("/dev/full", "wb")

    monkeypatch.setattr(spooled_array.tempfile, "TemporaryFile", full)
    with pytest.raises(DataError, match=f"cannot be written to {tmp_path}/texts .No space left on device.: make room"):
        vocabulary.encode(["a b"] * 10)


def test_bigrams_counted_in_chunks_are_the_same(monkeypatch):
    tokens = np.random.default_rng(0).integers(0, 7, 500)
    whole, nats = BigramBaseline(tokens, 7), BigramBaseline(tokens, 7).nats(tokens, 3)
    monkeypatch.setattr(baselines, "_CHUNK", 11)
    parts = BigramBaseline(tokens.astype(np.uint16), 7)
    np.testing.assert_array_equal(parts.keys, whole.keys)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.nats(tokens, 3).tobytes() == nats.tobytes()


def test_memory_does_not_grow_with_the_text(tmp_path):
    """Two bytes a token are kept, in a file: 30 MB more of text take at most 15 MB of memory."""
    line = " ".join(f"word{k % 97}" for k in range(100)) + "\n"
    sizes: dict[int, int] = {}
    for megabytes in (8, 38):
        path = tmp_path / f"{megabytes}.txt"
        path.write_text(line * (megabytes * 10**6 // len(line)))
        program = (
            "import sys; from rnnlm_jax.config import DataConfig; from rnnlm_jax.training.texts import *\n"
            "from rnnlm_jax.data import spooled_array; spooled_array.MOST_IN_MEMORY = 2**20\n"
            "texts = load_texts(DataConfig(corpus=sys.argv[1])); make_batches(DataConfig(), texts, 0)\n"
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "RNNLM_JAX_CACHE": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, "-c", program, path], env=environment, capture_output=True, check=True)
        sizes[megabytes] = int(done.stdout) // 1024
    assert sizes[38] < sizes[8] + 15, sizes
