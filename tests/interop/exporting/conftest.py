"""A small trained run, and its artefact: all may read them and none may write."""

import pytest

from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.interop.exporting import export_run
from rnnlm_jax.jobs.run_folder import START, Run, build_model
from rnnlm_jax.outputs.word_counts import Words
from tests.training.tiny import random_params, text, tiny_config


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    """A text of some forty lines, an unknown word in it."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(text().replace("dog", "unicorn", 1))
    return path


@pytest.fixture(scope="package")
def small_run():
    """Parameters that nobody trained, biases included; an output layer that is made of word counts."""
    vocabulary = build_vocabulary(text().splitlines(), "word")
    words = Words.counted(vocabulary.tokens, vocabulary.encode(text().splitlines()).tokens)
    config = tiny_config("text.txt", model={"output": "class", "cell": "lstm", "hidden_size": 8, "layers": 2})
    model = build_model(config.model, vocabulary.size, words=words)
    return Run(config, vocabulary, model, random_params(model), START, words)


@pytest.fixture(scope="package")
def artefact(small_run, tmp_path_factory):
    """The folder that the run is exported to."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_run(small_run, folder)
    return folder
