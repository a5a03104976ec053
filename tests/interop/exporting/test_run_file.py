"""A run as one file, and back: nothing is lost, and no damage goes unnoticed."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rnnlm_jax.config import replace
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.exporting import load_safetensors, save_safetensors, torch_run
from rnnlm_jax.interop.torch_language_model import dump
from rnnlm_jax.jobs.run_folder import build_model
from tests.training.tiny import assert_same_bits, random_params, tiny_config, vocabulary


@pytest.fixture(scope="module")
def saved(small_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "run.safetensors"
    save_safetensors(small_run, path)
    return path


def header(path):
    with safe_open(path, framework="np") as file:
        return dict(file.metadata())


def test_there_and_back(small_run, saved):
    back = load_safetensors(saved)
    assert_same_bits(back.params, small_run.params)
    for field in ("config", "vocabulary", "position", "words", "model"):
        assert getattr(back, field) == getattr(small_run, field), field


def test_others_can_read_it(small_run, saved):
    arrays = load_file(saved)
    assert {"embedding", "cell.0.w_x", "cell.1.w_h", "output.word_w"} <= arrays.keys()
    np.testing.assert_array_equal(arrays["cell.1.w_h"], small_run.params.cell[1].w_h)
    assert json.loads(header(saved)["config"])["model"]["hidden_size"] == 8
    assert json.loads(header(saved)["vocabulary"])["tokens"] == list(small_run.vocabulary.tokens)


def test_a_run_without_counts(small_run, tmp_path):
    config = replace(small_run.config, model={"output": "softmax", "tie_embeddings": True})
    model = build_model(config.model, small_run.vocabulary.size)
    run = dataclasses.replace(small_run, config=config, model=model, params=random_params(model), words=None)
    save_safetensors(run, tmp_path / "run.safetensors")
    back = load_safetensors(tmp_path / "run.safetensors")
    assert back.words is None
    assert_same_bits(back.params, run.params)


def test_the_parameters_of_an_artefact_are_the_run(small_run, artefact):
    assert_same_bits(load_safetensors(artefact / "model.safetensors").params, small_run.params)


def lacks(arrays, texts):
    del arrays["cell.0.w_h"]


def has_more(arrays, texts):
    arrays["cell.9.w_h"] = arrays["cell.0.w_h"]


def transposed(arrays, texts):
    arrays["cell.0.w_h"] = np.ascontiguousarray(arrays["cell.0.w_h"].T)


def wide(arrays, texts):
    arrays["cell.0.w_h"] = arrays["cell.0.w_h"].astype(np.float64)


def one_bit(arrays, texts):
    arrays["cell.0.w_h"] = arrays["cell.0.w_h"].copy()
    arrays["cell.0.w_h"].view(np.uint8)[0, 0] ^= 1


def later_version(arrays, texts):
    texts["rnnlm_jax"] = "run 3"


def no_position(arrays, texts):
    del texts["position"]


def no_json(arrays, texts):
    texts["digests"] = "{"


def other_config(arrays, texts):
    texts["config"] = texts["config"].replace('"hidden_size": 8', '"hidden_size": 9')


def other_words(arrays, texts):
    texts["vocabulary"] = texts["vocabulary"].replace("cat", "cut")


def other_counts(arrays, texts):
    texts["counts"] = texts["counts"].replace("[", "[1, ", 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lacks, "lacks cell.0.w_h"),
        (has_more, "has cell.9.w_h, which the model has not"),
        (transposed, "cell.0.w_h in .* is float32.32, 8., and its model has float32.8, 32."),
        (wide, "cell.0.w_h in .* is float64"),
        (one_bit, "wrong digest of cell.0.w_h"),
        (later_version, "holds no run of this version"),
        (no_position, "is damaged .its header"),
        (no_json, "is damaged .its header"),
        (other_config, "the configuration in .* is damaged, or was edited"),
        (other_words, "is damaged .its vocabulary"),
        (other_counts, "the word counts in .* is damaged"),
    ],
)
def test_files_that_are_not_as_they_were_written(saved, tmp_path, change, said):
    arrays, texts = load_file(saved), header(saved)
    change(arrays, texts)
    save_file(arrays, tmp_path / "run.safetensors", texts)
    with pytest.raises(UserError, match=said):
        load_safetensors(tmp_path / "run.safetensors")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda whole: whole[:-1], "safetensors"),
        (lambda whole: whole[:100], "safetensors"),
        (lambda whole: b"", "safetensors"),
        (lambda whole: b"PK\x03\x04" + whole, "safetensors"),
    ],
    ids=["last byte", "in the header", "empty", "another format"],
)
def test_files_that_are_cut_off(saved, tmp_path, content, said):
    (tmp_path / "run.safetensors").write_bytes(content(saved.read_bytes()))
    with pytest.raises(UserError, match=said):
        load_safetensors(tmp_path / "run.safetensors")


def test_where_a_file_cannot_be(small_run, tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        save_safetensors(small_run, tmp_path)
    with pytest.raises(UserError, match="this takes a run, as .* gives it, not a str"):
        save_safetensors("runs/small", tmp_path / "run.safetensors")
    with pytest.raises(UserError, match="is a device"):
        save_safetensors(small_run, "/dev/null")
    with pytest.raises(UserError, match="is a directory"):
        load_safetensors(tmp_path)
    with pytest.raises(UserError, match="cannot find the safetensors file"):
        load_safetensors(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_torch_model_is_a_run():
    """Weights that are ours in torch's names, and back: ``tests/peers`` has torch's own."""
    words = vocabulary()
    config = tiny_config("text.txt", model={"cell": "lstm", "layers": 2}).model
    params = random_params(build_model(config, words.size))
    run = torch_run(dump(config, params), words, "torch.safetensors")
    assert_same_bits(run.params, params)
    assert (run.config.model.cell, run.config.model.layers, run.vocabulary) == ("lstm", 2, words)
    other = Vocabulary("word", (*words.tokens, "more"), words.unk, words.eos)
    with pytest.raises(UserError, match=f"model of {words.size} words, and the vocabulary has {words.size + 1}"):
        torch_run(dump(config, params), other, "torch.safetensors")
