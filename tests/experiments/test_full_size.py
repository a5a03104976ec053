"""The One Billion Word models have the published numbers of parameters, and train at a small size."""

import pytest

from experiments.perplexity_table.full_size import PUBLISHED, parameters
from rnnlm_jax.config import replace
from rnnlm_jax.jobs.run_folder import open_run
from rnnlm_jax.presets import preset
from rnnlm_jax.training.train import train
from tests.training.tiny import text

#: Preset -> changes that make it small: one preset for each output layer, and one with character inputs.
SMALL = {
    "lm1b/rnn-blackout": {"output_options": (("num_samples", 4), ("power", 0.1))},
    "lm1b/rnn-maxent": {"output_options": (("order", 9), ("table_size", 4096))},
    "lm1b/lstm-8192-char-cnn": {
        "output_options": (("num_samples", 4), ("proposal", "log-uniform")),
        "input_options": (("filters", "2+3"), ("characters", 3), ("highways", 1)),
    },
    "lm1b/adaptive-large": {"output_options": (("cutoffs", "2:4"),), "hidden_size": 16},
}


@pytest.mark.parametrize("name", [name for name, (published, _) in PUBLISHED.items() if published])
def test_the_number_of_parameters_is_the_published_one(name):
    assert parameters(name) == pytest.approx(1e6 * PUBLISHED[name][0], rel=0.02)


@pytest.mark.parametrize("name", SMALL)
def test_the_preset_trains_at_a_small_size(tmp_path, name):
    (tmp_path / "text.txt").write_text(text())
    config = preset(name)
    options = (("projection_size", 3),) if config.model.cell == "lstm-projected" else ()
    sizes = {"hidden_size": 4, "embedding_size": 3, "cell_options": options}
    config = replace(
        config,
        data={"corpus": str(tmp_path / "text.txt"), "batch_size": 2, "bptt": 8},
        model=sizes | SMALL[name],
        optimizer={"learning_rate": 0.2},
        training={"epochs": 2},
    )
    results = train(config, tmp_path / "run")
    assert 1 < results.test.perplexity < 25
    assert open_run(tmp_path / "run").config == config
