"""A model of sequences: inputs of numbers and symbols, padding, and initial parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, tasks
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.sequence_model import model_for, sequence_model
from rnnlm_jax.unroll import unroll

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
T, B, D, H, K = 6, 3, 4, 5, 2
SYMBOLS = jnp.asarray(RNG.integers(0, D, size=(T, B)), jnp.int32)


def lstm():
    return cells.lstm(H, param_dtype="float64")


def test_outputs_are_an_affine_map_of_those_of_the_cell():
    model = sequence_model(lstm(), D, K)
    params = model.init(KEY)._replace(b=jnp.asarray([0.5, -1.0]))
    xs = jnp.asarray(RNG.normal(size=(T, B, D)))
    last, outputs = model(params, model.initial_state((B,)), xs)
    wanted_last, hs = unroll(model.cell, params.cell, model.initial_state((B,)), xs)
    np.testing.assert_allclose(outputs, np.asarray(hs) @ np.asarray(params.w) + [0.5, -1.0], rtol=1e-12)
    jax.tree.map(np.testing.assert_array_equal, last, wanted_last)


def test_symbols_are_one_hot_vectors():
    model = sequence_model(lstm(), D, K)
    params, state = model.init(KEY), model.initial_state((B,))
    vectors = jax.nn.one_hot(SYMBOLS, D, dtype=jnp.float64)
    np.testing.assert_array_equal(model(params, state, SYMBOLS)[1], model(params, state, vectors)[1])


def test_symbols_have_trained_vectors():
    model = sequence_model(lstm(), D, K, embedding_size=7)
    params, state = model.init(KEY), model.initial_state((B,))
    assert params.embedding.shape == (D, 7)
    xs = jnp.asarray(np.asarray(params.embedding)[np.asarray(SYMBOLS)])
    hs = unroll(model.cell, params.cell, state, xs)[1]
    np.testing.assert_allclose(model(params, state, SYMBOLS)[1], hs @ params.w, rtol=1e-12)
    with pytest.raises(ArgumentError, match="takes symbols"):
        model(params, state, xs)


def test_a_pair_of_directions_does_not_read_padding():
    pair = cells.bidirectional(lstm(), lstm())
    model = sequence_model(pair, D, K)
    params, state = model.init(KEY), model.initial_state((B,))
    xs = RNG.normal(size=(T, B, D))
    lengths = jnp.asarray([T, 2, 4])
    outputs = np.asarray(model(params, state, jnp.asarray(xs), lengths=lengths)[1])
    for b, length in enumerate(lengths.tolist()):
        alone = model(params, model.initial_state((1,)), jnp.asarray(xs[:length, b : b + 1]))[1]
        np.testing.assert_allclose(outputs[:length, b], np.asarray(alone)[:, 0], rtol=1e-12)


def test_initial_parameters():
    model = model_for(tasks.parity(), cells.stack(cells.gru(8), cells.gru(6)), init_scale=0.01)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(model.init(KEY))]
    assert model is model_for(tasks.parity(), cells.stack(cells.gru(8), cells.gru(6)), init_scale=0.01)
    assert all(0.005 < np.abs(leaf).max() <= 0.01 for leaf in leaves if leaf.size > 8)
    own = sequence_model(cells.gru(400), D, 200).init(KEY)
    assert not own.b.any()
    assert float(own.w.std()) == pytest.approx((2 / 600) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "`input_size` must be a positive whole number"),
        ({"output_size": 2.5}, "`output_size` must be a positive whole number"),
        ({"embedding_size": -1}, "`embedding_size` must be a positive whole number"),
        ({"init_scale": 0}, "`init_scale` must be a positive number"),
    ],
)
def test_impossible_sizes(options, message):
    with pytest.raises(ArgumentError, match=message):
        sequence_model(lstm(), **({"input_size": D, "output_size": K} | options))
