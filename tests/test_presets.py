"""The presets have the settings of the papers."""

import pytest

from rnnlm_jax import cells, inputs, outputs
from rnnlm_jax.config import check_config, from_json, replace, to_json
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.presets import PRESETS, preset

#: Zaremba, Sutskever & Vinyals 2014, section 4.1.
ZAREMBA = {
    # hidden_size, init_scale, dropout, bptt, epochs, divisor and after of the schedule, clip_norm
    "zaremba/small": (200, 0.1, 0.0, 20, 13, 2.0, 4, 5.0),
    "zaremba/medium": (650, 0.05, 0.5, 35, 39, 1.2, 6, 5.0),
    "zaremba/large": (1500, 0.04, 0.65, 35, 55, 1.15, 14, 10.0),
}


@pytest.mark.parametrize("name", ZAREMBA)
def test_zaremba_is_the_table_of_the_paper(name):
    config = preset(name)
    data, model, optimizer = config.data, config.model, config.optimizer
    options = dict(optimizer.schedule_options)
    assert optimizer.schedule == "epochs"
    assert (
        *(model.hidden_size, model.init_scale, model.dropout_output, data.bptt, config.training.epochs),
        *(options["divisor"], options["after"], optimizer.clip_norm),
    ) == ZAREMBA[name]
    assert (model.cell, model.layers, model.residual, model.tie_embeddings) == ("lstm", 2, False, False)
    assert model.dropout_input == model.dropout_hidden == model.dropout_output
    assert not model.dropout_locked
    assert model.embedding_size is None  # as wide as a layer
    assert (data.corpus, data.batching, data.batch_size) == ("ptb", "stream", 20)
    assert (optimizer.optimizer, optimizer.learning_rate, optimizer.loss_normalization) == ("sgd", 1.0, "sequence")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_survives_json(name):
    config = preset(name)
    assert check_config(config) == config
    assert from_json(to_json(config)) == config


@pytest.fixture(scope="module")
def words():
    """As many words as Penn Treebank has."""
    return WordCounts([f"word{k}" for k in range(10_000)], range(10_000, 0, -1))


@pytest.mark.parametrize("name", PRESETS)
def test_the_options_of_layers_exist(name, words):
    model = preset(name).model
    outputs.make(model.output, words, model.tie_embeddings, **dict(model.output_options))
    inputs.make(model.input, words.tokens, **dict(model.input_options))
    if model.cell != "none":
        cells.make(model.cell, model.hidden_size, **dict(model.cell_options))


@pytest.mark.parametrize("name", ["importance", "nce", "blackout"])
def test_sampled_presets_differ_from_zaremba_small_only_in_the_output_layer(name):
    config, small = preset(f"sampled/{name}"), preset("zaremba/small")
    assert config.model.output == name
    assert replace(config, model={"output": "softmax", "output_options": ()}) == small


@pytest.mark.parametrize("name", ["adaptive", "blackout", "importance", "nce"])
def test_dropout_presets_differ_from_the_full_softmax_only_in_the_output_layer(name):
    config, full = preset(f"dropout/{name}"), preset("dropout/softmax")
    assert config.model.output == name
    assert replace(config, model={"output": "softmax", "output_options": ()}) == full
    assert full.model.dropout_input == full.model.dropout_hidden == full.model.dropout_output == 0.25


def test_the_jozefowicz_presets_differ_by_one_change_each():
    one, two, spelled = (preset(f"jozefowicz/{name}") for name in ("lstm", "two-layers", "char-cnn"))
    assert replace(two, model={"layers": 1, "init_scale": 0.1}, optimizer={"learning_rate": 1.0}) == one
    assert replace(spelled, model={"input": "embedding", "input_options": ()}) == two
    assert spelled.model.input == "char-cnn"


def test_mikolov_blackout_differs_from_the_network_only_in_the_output_layer():
    config, rnn = preset("mikolov/blackout"), preset("mikolov/rnn")
    assert config.model.output == "blackout"
    assert replace(config, model={"output": "importance", "output_options": rnn.model.output_options}) == rnn


def test_the_demo_needs_no_download():
    assert preset("demo").data.corpus == "pydoc"
    assert preset("demo").data.data_dir is None


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ConfigError, match="unknown preset 'zaremba/huge': choose one of demo, ") as raised:
        preset("zaremba/huge")
    assert all(name in str(raised.value) for name in PRESETS)
