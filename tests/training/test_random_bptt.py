"""Windows of random length: padding changes nothing, the learning rate is scaled, and runs are resumed exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.config import ModelConfig, from_json, replace, to_json
from rnnlm_jax.data import Batch, StreamBatches
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.run_folder import RunFolder, build_model
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.relative_length import relative_length
from rnnlm_jax.training.step import make_train_step
from rnnlm_jax.training.texts import batch_lengths, load_texts, random_bptt
from rnnlm_jax.training.train import train
from tests.training.tiny import TINY, assert_same_run, fresh_state, last_checkpoint, optimizer, records, tiny_config

VOCABULARY, BPTT, LONGEST, BATCH = 11, 4, 7, 3
WORDS = WordCounts([str(v) for v in range(VOCABULARY)], np.arange(VOCABULARY, 0, -1))
RANDOM = (("deviation", 2.0), ("minimum", 2), ("shapes", 2))


def padded(batch, steps):
    """Return a batch with masked steps at its end, whose tokens must not matter."""
    rest = steps - batch.mask.shape[0]
    fill = np.full((rest, BATCH), 5, np.int32)
    inputs, targets = (np.concatenate([part, fill]) for part in (batch.inputs, batch.targets))
    return Batch(inputs, targets, np.concatenate([batch.mask, np.zeros((rest, BATCH), bool)]))


@pytest.mark.parametrize(
    ("cell", "output", "options"),
    [("lstm", "softmax", ()), ("gru", "maxent", (("order", 3), ("table_size", 64), ("classes", 2)))],
)
def test_padding_changes_neither_loss_nor_gradient_nor_state(cell, output, options):
    """A padded window acts as one of its own length with the learning rate ``η l / T``."""
    shape = ModelConfig(
        cell=cell,
        hidden_size=5,
        layers=2,
        init_scale=0.4,
        output=output,
        output_options=options,
        dtype="float64",
        param_dtype="float64",
    )
    model = build_model(shape, VOCABULARY, words=WORDS)
    rate = 0.25  # exact in float32, and 1.5 times it too
    rules = [optimizer("sgd", rate * (LONGEST - 1) / BPTT), optimizer("sgd", rate)]
    exact, step = make_train_step(model, rules[0]), make_train_step(model, rules[1], random_bptt=BPTT)
    states = [fresh_state(model, rule, BATCH, seed=1) for rule in rules]
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, 2 * LONGEST * BATCH).astype(np.int32)
    for window in list(StreamBatches(tokens, BATCH, LONGEST - 1))[:2]:  # its state is carried to the second
        expected, info = exact(states[0], window)
        found, other = step(states[1], padded(window, LONGEST))
        states = [expected, found]
        np.testing.assert_allclose(float(other.nats), float(info.nats), rtol=1e-12)
        np.testing.assert_allclose(float(other.grad_norm), float(info.grad_norm), rtol=1e-12)
        assert int(other.tokens) == int(info.tokens)
        for one, two in zip(*map(jax.tree.leaves, (expected, found)), strict=True):
            np.testing.assert_allclose(np.asarray(two), np.asarray(one), rtol=1e-11, atol=1e-13)


def test_the_relative_length_counts_steps_with_a_target():
    mask = np.array([[True, True], [False, True], [False, False]])
    assert relative_length(jnp.asarray(mask), 8) == 0.25


def options(corpus):
    """Options of the command: a tiny model, two epochs, dropout, metrics of each step, random windows."""
    found = ["--data", str(corpus), *TINY, "--dropout-output=0.2", "--epochs=2", "--log-every=1"]
    return [*found, "--bptt-random", "deviation=2,minimum=2,shapes=2"]


class Stop(Exception):
    pass


def test_a_run_of_the_command_with_random_windows_resumes_exactly(corpus, tmp_path, monkeypatch):
    whole, run, write = tmp_path / "whole", tmp_path / "run", Trainer._write
    assert main(["train", *options(corpus), "--run", str(whole)]) == 0
    config = from_json(RunFolder(whole).config.read_text())
    assert dict(config.data.bptt_random) == dict(RANDOM)
    assert from_json(to_json(config)) == config
    texts, random = load_texts(config.data), random_bptt(config.data)
    assert batch_lengths(config.data) == random.padded_lengths(10)
    batches = StreamBatches(texts.train.tokens, 2, 10, random=random, seed=config.training.seed)
    counts = [batches.batch_count(epoch) for epoch in range(2)]
    assert counts[0] != counts[1]
    assert last_checkpoint(whole)[1].step == sum(counts)
    steps = [record for record in records(whole) if record["kind"] == "step"]
    assert [record["epoch"] for record in steps] == [0] * counts[0] + [1] * counts[1]

    def stop(trainer, record):
        write(trainer, record)
        if record["step"] == counts[0] + 5:
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Trainer, "_write", stop)
        train(replace(config, training={"checkpoint_every": 2}), run)
    train(config, run, resume=True)
    assert_same_run(run, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bptt_random": (("size", 3),)}, "`bptt_random` has no option 'size': it has probability, deviation, minimum"),
        ({"bptt_random": (("probability", 2),)}, "`bptt_random`: `probability` of random windows must be a number"),
        ({"bptt_random": (("minimum", 20),)}, "`minimum` of random windows is 20, above `bptt` 10: lower it"),
        ({"bptt_random": RANDOM, "batching": "sentences"}, "`bptt_random` cuts streams into windows"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_written(corpus, tmp_path, changes, message):
    config = tiny_config(corpus, data={"corpus": str(corpus), "batch_size": 2, "bptt": 10} | changes)
    with pytest.raises(ConfigError, match=message) as caught:
        train(config, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
