"""The gradient of a batch in parts is that of the whole batch, for dense gradients and gradients by row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, outputs
from rnnlm_jax.arrays.sparse_rows import RowGradient, dense_gradient
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model.accumulation import PART_DRAWS, accumulated_loss_and_gradient
from rnnlm_jax.language_model.dropout import EMBEDDING, LATENT, OUTPUT, STATE, WEIGHT, WORD, ZONEOUT, Dropout
from rnnlm_jax.language_model.loss_gradient import OUTPUT_DRAWS
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.regularizers.recurrence import FRAMES
from tests.training.tiny import random_params
from tests.unroll.programs import assert_close, jit

V, T, B, H = 200, 3, 8, 4
WORDS = WordCounts([f"w{v}" for v in range(V)], range(1, V + 1))


def make_batch():
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(0, V, (2, T, B)).astype(np.int32)
    inputs[0] = 5  # in every part
    return Batch(inputs, targets, rng.random((T, B)) < 0.8)


@pytest.mark.parametrize("accumulate", [2, 4, 8])
@pytest.mark.parametrize(("output", "tied"), [("softmax", False), ("softmax", True), ("adaptive", False)])
def test_parts_sum_to_the_whole(output, tied, accumulate):
    options = {"cutoffs": "60"} if output == "adaptive" else {}
    layer = outputs.make(output, WORDS, tied, dtype="float64", param_dtype="float64", **options)
    model = language_model(cells.lstm(H, param_dtype=jnp.float64), V, output=layer, tie_embeddings=tied)
    params, batch = random_params(model), make_batch()
    state = jax.tree.map(lambda a: a + jnp.linspace(0.0, 0.9, B)[:, None], model.initial_state((B,)))

    @jit
    def both(params, state):
        def compute(parts):
            return accumulated_loss_and_gradient(
                model, params, state, batch, None, accumulate=parts, normaliser=batch.mask.sum(), by_row=True
            )

        return compute(1), compute(accumulate)

    (wanted, gradient), (found, by_parts) = both(params, state)
    assert_close(found, wanted, 1e-13)
    assert_close(dense_gradient(by_parts, params), dense_gradient(gradient, params), 1e-13)
    rows = [leaf for leaf in by_parts if isinstance(leaf, RowGradient)]
    assert bool(rows) == (not tied)
    for leaf in rows:
        used = leaf.ids[leaf.ids < V]
        assert len(set(used.tolist())) == used.size  # each row once, as the norm of the gradient needs


def test_each_part_has_draws_of_its_own():
    model = language_model(cells.elman(H), V, dropout=Dropout(output=0.5))
    params, state = random_params(model), model.initial_state((B,))
    same = np.broadcast_to(np.arange(T, dtype=np.int32)[:, None], (T, B))
    batch = Batch(same, same, np.ones((T, B), bool))

    @jit
    def nats(key):
        return accumulated_loss_and_gradient(model, params, state, batch, key, accumulate=B)[0][0]

    one = jax.jit(lambda key: accumulated_loss_and_gradient(model, params, state, batch, key)[0][0])
    keys = [jax.random.key(k) for k in range(3)]
    assert len({float(nats(key)) for key in keys}) == 3
    assert abs(float(nats(keys[0])) - float(one(keys[0]))) > 1e-6


def test_every_kind_of_draw_has_a_number_of_its_own():
    """Numbers folded into a step's key; layers of the cells have 0, 1, 2 and so on."""
    kinds = (OUTPUT, WORD, EMBEDDING, STATE, WEIGHT, ZONEOUT, LATENT, OUTPUT_DRAWS, PART_DRAWS, FRAMES)
    assert len(set(kinds)) == len(kinds)
    assert min(kinds) > 2**31
