"""Output layers on news of 32,793 types, most of them rare: nothing that is not finite, and the loss falls."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import outputs
from rnnlm_jax.data import build_vocabulary, read_lines
from rnnlm_jax.words import Words

HIDDEN, ROWS = 8, 24
LAYERS = {"adaptive": {"cutoffs": 2000}, "hierarchical": {}}


@pytest.fixture(scope="module")
def text():
    """The words with their counts, and the ids of the text."""
    file = Path(os.environ.get("RNNLM_JAX_DATA", "")) / "lm1b-sample" / "news.dev.txt"
    if not file.is_file():
        pytest.skip("needs lm1b-sample/news.dev.txt under RNNLM_JAX_DATA")
    lines = list(read_lines(file))
    vocabulary = build_vocabulary(lines)
    ids = vocabulary.encode(lines).tokens
    return Words.counted(vocabulary.tokens, ids), ids


@pytest.mark.parametrize("name", LAYERS)
def test_training_and_evaluation_stay_finite(name, text):
    words, ids = text
    assert words.size > 30_000 and np.median(words.counts) <= 2
    layer = outputs.make(name, words, **LAYERS[name])
    params = jax.jit(layer.init, static_argnums=(1, 2))(jax.random.key(0), HIDDEN, words.size)
    table = jax.random.normal(jax.random.key(1), (words.size, HIDDEN), jnp.float32)

    @jax.jit
    def step(params, inputs, targets):
        value, slopes = jax.value_and_grad(layer.total_nats)(params, table[inputs], targets, jnp.full(ROWS, 1 / ROWS))
        return value, jax.tree.map(lambda p, g: p - 2 * g, params, slopes)

    rarest = np.argsort(words.counts)[: ROWS + 1].astype(np.int32)
    for read in (ids, rarest):  # until each is learnt by heart
        losses = []
        for _ in range(10):
            value, params = step(params, read[:ROWS], read[1 : ROWS + 1])
            losses.append(float(value))
        assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    # Evaluation is of the same words, frequent and rare.
    targets = np.concatenate([ids[:20], rarest[:20]])
    log_probs = jax.jit(layer.log_probs)(params, table[:40])
    np.testing.assert_allclose(np.exp(log_probs.astype(jnp.float64)).sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(
        jax.jit(layer.nats)(params, table[:40], targets), -log_probs[np.arange(40), targets], rtol=1e-4
    )
