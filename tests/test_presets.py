"""The presets have the settings of the papers."""

import jax
import pytest

from rnnlm_jax import cells, inputs, outputs
from rnnlm_jax.config import check_config, from_json, replace, to_json
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.language_model.parameters import parameter_count
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.presets import PRESETS, preset
from rnnlm_jax.training.train import train
from tests.training.tiny import no_learning_curves, records, text

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


#: Melis et al. 2018 and 2020, from the authors' configurations; Merity et al. 2018, from the authors' program.
BEST = {
    # millions of parameters; batch, bptt; learning rate, clipping, weight decay; rates of dropout of input, hidden,
    # output, latent, state and embedding; whether masks are locked
    "melis/lstm-10m": (10, 64, 35, 0.00418, 10.0, 1.24e-4, (0.580, 0.0, 0.327, 0.327, 0.215, 0.0), False),
    "melis/lstm-24m": (24, 64, 35, 0.00396, 10.0, 7.45e-5, (0.634, 0.309, 0.701, 0.0, 0.643, 0.0), False),
    "mogrifier/lstm": (24, 64, 70, 0.00230, 10.0, 2.52e-4, (0.729, 0.291, 0.716, 0.0, 0.387, 0.0), False),
    "awd/lstm": (24, 20, 70, 30.0, 0.25, 1.2e-6, (0.4, 0.25, 0.4, 0.0, 0.0, 0.1), True),
}
#: Changes that make them small.
SMALL_BEST = {
    "melis/lstm-10m": {"hidden_size": 6, "embedding_size": 4},
    "melis/lstm-24m": {"hidden_size": 6},
    "mogrifier/lstm": {"hidden_size": 6, "cell_options": (("rounds", 5), ("rank", 2), ("input_gate", "capped"))},
    "awd/lstm": {"hidden_size": 6, "last_hidden_size": 4, "embedding_size": 4},
}


@pytest.mark.parametrize("name", BEST)
def test_the_best_models_have_the_authors_settings(name):
    config = preset(name)
    data, model, optimizer = config.data, config.model, config.optimizer
    _, batch, bptt, rate, clip, decay, rates, locked = BEST[name]
    assert (data.corpus, data.batch_size, data.bptt) == ("ptb", batch, bptt)
    assert optimizer.clip_norm == clip
    assert (optimizer.learning_rate, optimizer.weight_decay) == pytest.approx((rate, decay), rel=5e-3)
    kinds = ("input", "hidden", "output", "latent", "state", "embedding")
    assert [getattr(model, f"dropout_{kind}") for kind in kinds] == pytest.approx(rates, abs=5e-4)
    assert model.dropout_locked == locked
    assert model.tie_embeddings
    ours = dict(optimizer.optimizer_options), optimizer.loss_normalization, data.state_reset_probability
    awd = name == "awd/lstm"
    assert ours == (({}, "token", 0.0) if awd else ({"b1": 0.0, "b2": 0.999, "eps": 1e-8}, "sequence", 0.01))
    assert dict(model.cell_options).get("input_gate") == (None if awd else "capped")
    assert model.sum_outputs == (name in ("melis/lstm-24m", "mogrifier/lstm"))
    assert model.weight_drop == (0.5 if awd else 0.0)


@pytest.mark.parametrize("name", BEST)
def test_the_best_models_have_the_published_number_of_parameters(name, words):
    model = build_model(preset(name).model, words.size, words=words)
    count = parameter_count(jax.eval_shape(model.init, jax.random.key(0)))
    assert count == pytest.approx(1e6 * BEST[name][0], rel=0.02)


@pytest.mark.parametrize("name", BEST)
def test_the_best_models_train_at_a_small_size(name, tmp_path):
    (tmp_path / "text.txt").write_text(text())
    random = {"bptt_random": (("minimum", 5), ("shapes", 1))} if preset(name).data.bptt_random else {}
    config = replace(
        preset(name),
        data={"corpus": str(tmp_path / "text.txt"), "batch_size": 2, "bptt": 6} | random,
        model={"init_scale": 0.1} | SMALL_BEST[name],
        training={"steps": 3, "valid_every": 2, "valid_streams": 1, "log_every": 1},
    )
    with no_learning_curves():
        results = train(config, tmp_path / "run")
    assert 1 < results.test.perplexity < 100
    steps = [record for record in records(tmp_path / "run") if record["kind"] == "step"]
    assert len(steps) == 3
    for step in steps:
        assert step["skipped"] == 0
        assert 0 < step["nats_per_token"] < 5
        assert 0 < step["grad_norm"] < 100


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
    with pytest.raises(ConfigError, match="unknown preset 'zaremba/huge': choose one of awd/lstm, demo, ") as raised:
        preset("zaremba/huge")
    assert all(name in str(raised.value) for name in PRESETS)
