"""A row gradient with many slots, most of them empty, is applied in blocks, equal to the dense update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, dense_gradient
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.training import apply_gradient as applying
from rnnlm_jax.training.optimizer import make_optimizer


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("used", [0, 1, 7, 20])
def test_blocks_give_the_dense_update(monkeypatch, optimizer, used):
    """Blocks of 4 in 22 slots: the last used slot is in the middle of a block, in the last block, or missing."""
    monkeypatch.setattr(applying, "MANY_SLOTS", 8)
    monkeypatch.setattr(applying, "SLOTS_AT_ONCE", 4)
    rng = np.random.default_rng(used)
    ids = np.full(22, UNUSED, np.int32)
    ids[:used] = rng.permutation(50)[:used]
    ids[2] = UNUSED
    rows = np.where((ids == UNUSED)[:, None], 0, rng.normal(size=(22, 3)))
    table = jnp.asarray(rng.normal(size=(50, 3)))
    gradient = RowGradient(jnp.asarray(ids), jnp.asarray(rows))
    config = OptimizerConfig(optimizer=optimizer, clip_norm=1.0)
    state = make_optimizer(config, 0.1).init(table)

    @jax.jit
    def both(table, gradient, state):
        norm = applying.global_norm(gradient)
        rest = {"learning_rate": jnp.asarray(0.1), "norm": norm, "is_finite": jnp.asarray(True)}
        dense = dense_gradient(gradient, table)
        return [applying.apply_gradient(config, table, each, state, **rest) for each in (gradient, dense)]

    by_row, dense = both(table, gradient, state)
    assert (np.abs(by_row[0] - table).max() > 0) == (used > 0)
    for ours, wanted in zip(jax.tree.leaves(by_row), jax.tree.leaves(dense), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-14)
