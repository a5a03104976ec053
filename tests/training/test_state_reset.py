"""States that streams forget at random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.cli.main import main
from rnnlm_jax.config import from_json
from rnnlm_jax.errors import ArgumentError, UserError
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.maxent import maxent
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.state_reset import STATE_RESET, with_resets
from rnnlm_jax.training.step import make_train_step, step_key
from rnnlm_jax.training.train import train
from tests.training.test_step import BATCH, make_batch
from tests.training.tiny import TINY, assert_same_run, fresh_state, optimizer, tiny_config

SEED = 3


def problem(probability):
    model = language_model(cells.lstm(5, param_dtype=jnp.float64), 6, init_scale=0.5)
    rule = optimizer("sgd", 1e-30)
    state = fresh_state(model, rule, BATCH, seed=1)
    carried = jax.tree.map(lambda s: jnp.asarray(np.random.default_rng(2).normal(size=s.shape)), state.model_state)
    return model, make_train_step(model, rule, seed=SEED, state_reset_probability=probability), state, carried


def test_a_step_starts_from_the_initial_state_where_it_is_forgotten():
    model, step, state, carried = problem(0.5)
    params, batch = jax.tree.map(np.array, state.params), make_batch()
    seen = set()
    for number in range(6):
        given = jax.tree.map(jnp.copy, state._replace(model_state=carried, step=jnp.asarray(number, jnp.int32)))
        after, info = step(given, batch)
        key = jax.random.fold_in(step_key(model, SEED, jnp.asarray(number, jnp.int32), draws=True), STATE_RESET)
        forgotten = np.asarray(jax.random.bernoulli(key, jnp.float32(0.5), (BATCH,)))
        seen |= set(forgotten.tolist())
        before = jax.tree.map(lambda s, lost=forgotten: jnp.where(lost[:, None], 0.0, s), carried)
        expected, scored = jax.jit(model.loss_fn)(params, before, batch, None)
        np.testing.assert_allclose(info.nats, expected, rtol=1e-12)
        np.testing.assert_allclose(after.model_state.cell, scored.state.cell, rtol=1e-12)
    assert seen == {True, False}


def test_a_share_of_the_states_is_forgotten_and_the_words_before_them():
    size = 4000
    words = WordCounts(list("abcdef"), range(6, 0, -1))
    model = language_model(cells.elman(2), 6, output=maxent(words, order=3, table_size=64))
    full = jax.tree.map(jnp.ones_like, model.initial_state((size,)))
    found = with_resets(0.1, jax.random.key(0), full, model.initial_state, size)
    initial = model.initial_state((size,))
    kept = np.asarray(found.cell.hidden[:, 0] == 1)
    assert kept.mean() == pytest.approx(0.9, abs=0.02)
    for new, old, start in zip(*map(jax.tree.leaves, (found, full, initial)), strict=True):
        np.testing.assert_array_equal(new[kept], old[kept])
        np.testing.assert_array_equal(new[~kept], start[~kept])
    assert with_resets(0.0, None, full, model.initial_state, size) is full


def test_a_skipped_step_keeps_the_state_that_was_carried():
    _, step, state, carried = problem(1.0)
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), state.params)
    after, info = step(state._replace(params=broken, model_state=jax.tree.map(jnp.copy, carried)), make_batch())
    assert int(info.skipped) == 1
    np.testing.assert_array_equal(after.model_state.hidden, carried.hidden)


@pytest.mark.parametrize(
    ("probability", "carries_state", "message"),
    [(-0.1, True, "from 0 to 1, not -0.1"), (1.5, True, "from 0 to 1"), (0.1, False, "is for streams, which carry")],
)
def test_impossible_probabilities_are_refused(probability, carries_state, message):
    model = language_model(cells.elman(2), 6)
    with pytest.raises(ArgumentError, match=f"`state_reset_probability`.*{message}"):
        make_train_step(model, optimizer("sgd"), state_reset_probability=probability, carries_state=carries_state)


def test_sentences_are_refused_before_anything_is_written(corpus, tmp_path):
    data = {"corpus": str(corpus), "batching": "sentences", "state_reset_probability": 0.1}
    with pytest.raises(UserError, match="`state_reset_probability` is for streams"):
        train(tiny_config(corpus, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_the_command_forgets_states_and_resumes_exactly(corpus, tmp_path):
    options = ["--data", str(corpus), *TINY, "--state-reset-probability=0.5", "--log-every=1"]
    whole, run, never = (tmp_path / name for name in ("whole", "run", "never"))
    assert main(["train", *options, "--epochs=2", "--run", str(whole)]) == 0
    config = from_json(RunFolder(whole).config.read_text())
    assert config.data.state_reset_probability == 0.5
    assert main(["train", *options, "--run", str(run)]) == 0
    assert main(["train", "--resume", "--epochs=2", "--run", str(run)]) == 0
    assert_same_run(run, whole)
    train(tiny_config(corpus), never)
    losses = [
        [line for line in RunFolder(path).metrics.read_text().splitlines() if '"validation"' in line][0]
        for path in (run, never)
    ]
    assert losses[0] != losses[1]
