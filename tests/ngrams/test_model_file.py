"""Model files: round trips, detection of damage, atomic writing."""

import os

import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.errors import DataError, UserError
from rnnlm_jax.ngrams import model_file
from tests.ngrams.texts import encoded, vocabulary, zipf_text

WORDS = vocabulary(12)


@pytest.fixture(scope="module")
def model():
    return ngrams.train(zipf_text(WORDS, 50), WORDS, 3)


@pytest.mark.parametrize("eos", [True, False])
def test_a_saved_model_is_loaded_unchanged(eos, tmp_path):
    words = vocabulary(12, eos)
    model = ngrams.train(zipf_text(words, 30), words, 3)
    path = tmp_path / "new" / "some.model"  # no suffix is added
    model.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["some.model"]
    again = ngrams.load(path)
    assert isinstance(again, ngrams.NgramModel)
    assert again.vocabulary == words
    assert again.describe() == model.describe()
    assert again.parameter_count == model.parameter_count
    text = zipf_text(words, 10, seed=3)
    np.testing.assert_array_equal(again.token_nll(text), model.token_nll(text))


def test_changed_bytes_are_an_error_or_without_effect(model, tmp_path):
    path = tmp_path / "model"
    model.save(path)
    content = path.read_bytes()
    text = zipf_text(WORDS, 5, seed=1)
    expected = model.token_nll(text)
    for place in np.random.default_rng(0).integers(4, len(content), 120).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            again = ngrams.load(path)
        except DataError as error:
            assert str(path) in str(error)
        else:  # bytes of a zip archive that mean nothing: dates, for one
            np.testing.assert_array_equal(again.token_nll(text), expected)
            assert again.vocabulary == WORDS
    for length in (0, 3, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            ngrams.load(path)


def test_digests_are_of_the_content(tmp_path):
    """The archive is intact, but an array is not the one that was written."""
    path = tmp_path / "model"
    model_file.write_model(path, "backoff", WORDS, about={}, arrays={"keys_1": np.arange(4)})
    with np.load(path) as file:
        arrays = dict(file)
    with path.open("wb") as file:
        np.savez(file, **(arrays | {"keys_1": np.arange(1, 5)}))
    with pytest.raises(DataError, match="damaged"):
        ngrams.load(path)
    np.savez(tmp_path / "other.npz", something=np.arange(3))
    with pytest.raises(DataError, match="not a model file"):
        ngrams.load(tmp_path / "other.npz")


def test_kinds_are_registered(tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "_READERS", dict(model_file._READERS))
    path = tmp_path / "model"
    model_file.write_model(path, "sums", WORDS, about={"scale": 2}, arrays={"values": np.arange(3)})
    with pytest.raises(DataError, match="kind 'sums'"):
        ngrams.load(path)

    @model_file.model_reader("sums")
    def read(stored):
        assert stored.vocabulary == WORDS
        return stored.arrays["values"].sum() * stored.about["scale"]

    assert ngrams.load(path) == 6
    model_file.write_model(path, "sums", WORDS, about={}, arrays={})
    with pytest.raises(DataError, match="lacks a part"):
        ngrams.load(path)


def test_wrong_paths_are_refused(model, tmp_path):
    with pytest.raises(DataError, match="cannot find the model file"):
        ngrams.load(tmp_path / "none")
    with pytest.raises(DataError, match="is a directory"):
        ngrams.load(tmp_path)
    with pytest.raises(UserError, match="is a folder"):
        model.save(tmp_path)
    with pytest.raises(UserError, match="is a device"):
        model.save(os.devnull)
    (tmp_path / "text").write_text("some text\n")
    with pytest.raises(DataError, match="neither a model file"):
        ngrams.load(tmp_path / "text")


def test_a_failed_write_keeps_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"before")

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    for write in (model.save, lambda path: ngrams.write_arpa(model, path)):
        with pytest.raises(OSError, match="No space"):
            write(path)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_texts_of_another_vocabulary_are_refused_by_id(model):
    with pytest.raises(DataError, match="beyond"):
        model.token_nll(encoded([WORDS.size]))
