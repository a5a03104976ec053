"""A small run and its exported folder, which tests must not write to."""

import pytest

from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.interop.exporting import export_run
from rnnlm_jax.jobs.run_folder import START, Run, build_model
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.training.tiny import random_params, text, tiny_config


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    """Return a text of some forty lines with an unknown word."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(text().replace("dog", "unicorn", 1))
    return path


@pytest.fixture(scope="package")
def small_run():
    """Return a run with random parameters, biases included, and an output layer made from word counts."""
    vocabulary = build_vocabulary(text().splitlines(), "word")
    words = WordCounts.counted(vocabulary.tokens, vocabulary.encode(text().splitlines()).tokens)
    config = tiny_config("text.txt", model={"output": "class", "cell": "lstm", "hidden_size": 8, "layers": 2})
    model = build_model(config.model, vocabulary.size, words=words)
    return Run(config, vocabulary, model, random_params(model), START, words)


@pytest.fixture(scope="package")
def artefact(small_run, tmp_path_factory):
    """Return the folder that the run is exported to."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_run(small_run, folder)
    return folder
