"""Batches of text on disk equal those of the same text in memory, bit for bit, with and without workers."""

import dataclasses
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")
pytest.importorskip("grain")

from rnnlm_jax.data import RandomBptt, SentenceBatches, StreamBatches, build_vocabulary, load_corpus
from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.data.records import batch_blocks, open_text
from rnnlm_jax.errors import ArgumentError, DataError
from tests.tiny_records import NAME, prepare

KINDS = ("streams", "random", "sentences")
SEED, START = 3, 1
RANDOM = RandomBptt(deviation=0.6, minimum=1, shapes=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def corpus(folder):
    return load_corpus(NAME, data_dir=folder)


@pytest.fixture(scope="module")
def vocabulary(corpus):
    return build_vocabulary(corpus.lines("train"), "word", max_size=9)  # with unknown words


@pytest.fixture(scope="module")
def encoded(corpus, vocabulary):
    return vocabulary.encode(corpus.lines("train"))


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNLM_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(batch_blocks, "_STEPS", 6)
    monkeypatch.setattr(batch_blocks, "_SENTENCES", 12)


def in_memory(kind, encoded, size=4, bptt=3):
    if kind == "streams":
        return StreamBatches(encoded.tokens, size, bptt, first_input=START)
    if kind == "random":
        return StreamBatches(encoded.tokens, size, bptt, first_input=START, random=RANDOM, seed=SEED)
    return SentenceBatches(encoded, size, seed=SEED, first_input=START)


def on_disk(kind, text, size=4, bptt=3, columns=None):
    if kind == "streams":
        return text.streams(size, bptt, first_input=START, columns=columns)
    if kind == "random":
        return text.streams(size, bptt, first_input=START, columns=columns, random=RANDOM, seed=SEED)
    return text.sentences(size, seed=SEED, first_input=START, columns=columns)


def assert_equal(one, two):
    count = 0
    for a, b in zip(one, two, strict=True):
        for ours, theirs in zip(a, b, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        count += 1
    return count


def test_the_index_has_the_statistics_of_the_encoded_text(corpus, vocabulary, encoded):
    counts = []
    text = open_text(corpus, vocabulary, 0, progress=counts.append)
    assert (len(text), text.oov) == (len(encoded), encoded.oov)
    assert 0 < text.oov < len(text)
    assert sum(counts) in (0, len(text))
    index = text.reader.index
    assert index.characters == encoded.characters
    np.testing.assert_array_equal(index.line_ends, encoded.line_ends)
    np.testing.assert_array_equal(text.counts, np.bincount(encoded.tokens, minlength=vocabulary.size))
    assert index.records < index.lines  # some have several


def test_batches_of_subwords_equal_those_in_memory(corpus):
    """The subwords of a line depend on that line only; a worker process loads the tokenizer itself."""
    pytest.importorskip("tokenizers")
    vocabulary = build_vocabulary(corpus.lines("train"), "subword", max_size=270)
    text = open_text(corpus, vocabulary, 1)
    encoded = vocabulary.encode(corpus.lines("train"))
    assert len(text) == len(encoded)
    ours = on_disk("streams", text)
    try:
        assert assert_equal(in_memory("streams", encoded), ours.epoch(0)) > 1
    finally:
        ours.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "bptt"), [(4, 3), (1, 50), (500, 2)])
def test_batches_equal_those_of_the_text_in_memory(corpus, vocabulary, encoded, kind, size, bptt):
    text = open_text(corpus, vocabulary, 0)
    theirs, ours = in_memory(kind, encoded, size, bptt), on_disk(kind, text, size, bptt)
    assert [ours.batch_count(epoch) for epoch in (0, 3)] == [theirs.batch_count(epoch) for epoch in (0, 3)]
    assert ours.carries_state == theirs.carries_state
    try:
        for epoch in (0, 1):
            seen = np.zeros(vocabulary.size, int)
            for batch in ours.epoch(epoch):
                seen += np.bincount(batch.targets[batch.mask], minlength=vocabulary.size)
            np.testing.assert_array_equal(seen, text.counts)  # each token is a target once
            assert_equal(theirs.epoch(epoch), ours.epoch(epoch))
        count = theirs.batch_count(1)
        for first in {0, 1, count // 2, count - 1, count}:
            assert assert_equal(theirs.epoch(1).after(first), ours.epoch(1).after(first)) == count - first
        assert_equal([theirs.epoch(0)[-1]], [ours.epoch(0)[-1]])
    finally:
        ours.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_reads_the_records_of_its_columns_only(corpus, vocabulary, encoded, kind, monkeypatch):
    text = open_text(corpus, vocabulary, 0)
    requested, read = [], TextRecords.lines
    monkeypatch.setattr(
        TextRecords, "lines", lambda self, numbers: requested.append(set(numbers)) or read(self, numbers)
    )
    parts, records = [], []
    for columns in (np.array([0, 1]), np.array([2, 3])):
        requested.clear()
        shard = on_disk(kind, text, columns=columns)
        parts.append(list(shard.epoch(1)))
        shard.close()
        records.append(set().union(*requested))
    joined = [[np.concatenate(pair, axis=1) for pair in zip(*both, strict=True)] for both in zip(*parts, strict=True)]
    assert_equal(in_memory(kind, encoded).epoch(1), joined)
    count = text.reader.index.records
    assert all(len(found) < 0.75 * count for found in records)  # both would have read all of it


def test_workers_give_the_same_batches_and_start_once(corpus, vocabulary, encoded):
    theirs, ours = in_memory("sentences", encoded), on_disk("sentences", open_text(corpus, vocabulary, 2))
    assert_equal(theirs.epoch(0).after(4), ours.epoch(0).after(4))
    running = {process.pid for process in multiprocessing.active_children()}
    assert len(running) == 2
    assert_equal(theirs.epoch(1), ours.epoch(1))
    assert running == {process.pid for process in multiprocessing.active_children()}  # started once a run
    ours.close()
    assert not multiprocessing.active_children()


def test_workers_ignore_signals_and_a_killed_worker_is_an_error(corpus, vocabulary, encoded):
    ours = on_disk("streams", open_text(corpus, vocabulary, 1))
    batches = ours.epoch(0).after(0)
    next(batches)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGTERM)  # what a preempted machine sends to every process
    os.kill(worker.pid, signal.SIGINT)
    assert_equal(in_memory("streams", encoded).epoch(0).after(1), batches)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(DataError, match="the input has stopped .*: try again") as caught:
        for epoch in range(1, 9):
            list(ours.epoch(epoch).after(0))
    assert "\n" not in str(caught.value)
    ours.close()


PROGRAM = """
import multiprocessing, sys, time
from rnnlm_jax.data import Vocabulary, load_corpus
from rnnlm_jax.data.records import open_text

if __name__ == "__main__":
    corpus = load_corpus({name!r}, data_dir={folder!r})
    batches = open_text(corpus, Vocabulary.load({vocabulary!r}), 1).sentences(2)
    next(batches.epoch(0).after(0))
    assert "tensorflow_datasets" in sys.modules and "tensorflow" not in sys.modules
    print(multiprocessing.active_children()[0].pid, flush=True)
    time.sleep(600)
"""


def test_tensorflow_is_never_imported_and_a_killed_process_leaves_no_worker(folder, vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocabulary.json")
    # builder_from_directory needs no class, but the name of the corpus does
    copy = Path(shutil.copytree(folder, tmp_path / "data"))
    (tmp_path / "program.py").write_text(
        "import tests.tiny_records\n"
        + PROGRAM.format(name=NAME, folder=str(copy), vocabulary=str(tmp_path / "vocabulary.json"))
    )
    root = str(Path(__file__).parent.parent.parent)
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            worker = Path("/proc") / process.stdout.readline().decode().strip()
            assert not Path("/proc").exists() or worker.exists()
        finally:
            process.kill()
    deadline = time.monotonic() + 60
    while worker.exists() and "(zombie)" not in (worker / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_digest_equals_that_of_the_text_in_memory(corpus, vocabulary, cache):
    encoded = vocabulary.encode(corpus.lines("train"))
    assert open_text(corpus, vocabulary, 0).digest == encoded.digest
    ends = encoded.line_ends.copy()
    ends[0] -= 1
    for change in (
        {"tokens": np.roll(encoded.tokens, 1)},
        {"line_ends": ends},
        {"oov": encoded.oov + 1},
        {"characters": encoded.characters - 1},
    ):
        assert dataclasses.replace(encoded, **change).digest != encoded.digest


def files_in(folder):
    """The files of a folder except locks."""
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


def test_an_index_is_made_once_and_again_if_damaged(corpus, vocabulary, monkeypatch, cache, capsys):
    first = open_text(corpus, vocabulary, 0).reader.index
    with monkeypatch.context() as patch:
        patch.setattr(TextRecords, "lines", lambda self, numbers: pytest.fail("read again"))
        assert open_text(corpus, vocabulary, 0).digest == first.digest
    path = first.folder / "line_ends.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert capsys.readouterr().err == ""
    again = open_text(corpus, vocabulary, 0).reader.index
    assert f"the index of the text in {first.folder} is damaged" in capsys.readouterr().err
    np.testing.assert_array_equal(again.line_ends, np.load(path))
    assert again.line_ends[-1] == again.tokens
    other = build_vocabulary(corpus.lines("train"), "word")
    assert open_text(corpus, other, 0).digest != first.digest
    assert len(files_in(first.folder.parent)) == 2


def test_texts_that_cannot_be_read_are_errors_of_one_line(folder, corpus, vocabulary, tmp_path, cache):
    def refused(match, corpus=corpus, vocabulary=vocabulary, workers=0, error=DataError):
        with pytest.raises(error, match=match) as caught:
            open_text(corpus, vocabulary, workers)
        assert "\n" not in str(caught.value)

    known = build_vocabulary(["the cat"], "word", unk=None)
    refused("is not in the vocabulary", vocabulary=known)
    refused("none of the .* tokens", vocabulary=build_vocabulary(["elsewhere"], "word"))
    refused("`input_workers` must be from 0 to", workers=1000, error=ArgumentError)
    (tmp_path / "text.txt").write_text("a b\n" * 20)
    plain = load_corpus(str(tmp_path / "text.txt"))
    refused("and .*text.txt is not one: leave it out", corpus=plain, error=ArgumentError)
    copy = Path(shutil.copytree(folder, tmp_path / "data"))
    ours = load_corpus(NAME, data_dir=copy)
    batches = open_text(ours, vocabulary, 0).streams(2, 3)
    (stored,) = copy.rglob("*train.array_record*")
    stored.write_bytes(stored.read_bytes()[:1000])
    refused("cannot be read .*: delete it", corpus=ours)
    with pytest.raises(DataError, match="cannot be read .*: delete it"):
        list(batches.epoch(0))
    batches.close()


def test_a_full_disk_leaves_no_index(corpus, vocabulary, cache, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(DataError, match="cannot be written .*No space left on device.*: make room"):
            open_text(corpus, vocabulary, 0)
    assert files_in(cache / "record_indexes") == []
    assert len(open_text(corpus, vocabulary, 0)) > 0
