"""Weights of keras's layers, both ways, in float32 with random biases: outputs and final states to 1e-5."""

import os

import jax
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.interop import weights
from tests.interop.weight_cases import D, H, assert_close, inputs, outputs, random_params, same_bits

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when keras is imported
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.peers

LAYERS = {
    "SimpleRNN": ("SimpleRNN", {}, cells.elman(H)),
    "LSTM": ("LSTM", {}, cells.lstm(H)),
    "GRU": ("GRU", {}, cells.gru(H)),
    "GRU(reset_after=False)": ("GRU", {"reset_after": False}, cells.gru(H, "before")),
}


@pytest.fixture(autouse=True)
def promotion_for_keras():
    """Allow promotion and disable x64: keras mixes dtypes and ranks, and its GRU without bias needs float32 zeros."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def layer(name, **options):
    made = getattr(keras.layers, name)(H, return_sequences=True, return_state=True, **options)
    made.build((None, None, D))
    rng = np.random.default_rng(0)
    made.set_weights([rng.standard_normal(w.shape).astype(np.float32) / 2 for w in made.get_weights()])
    return made


def run(made, xs):
    """Return the list of final states, and the outputs time first."""
    hs, *state = made(np.asarray(xs).swapaxes(0, 1))
    return state, np.asarray(hs).swapaxes(0, 1)


@pytest.mark.parametrize("kind", LAYERS)
def test_weights_convert_both_ways(kind):
    name, options, ours = LAYERS[kind]
    made, xs = layer(name, **options), inputs()
    cell, params = weights.load("keras", kind, made.get_weights())
    assert cell is ours
    their_state, theirs = run(made, xs)
    state, hs = outputs(cell, params, xs)
    assert_close(hs, theirs)
    jax.tree.map(assert_close, weights.dump_state("keras", cell, state), their_state)

    params = random_params(cell, seed=5)
    made.set_weights(list(weights.dump("keras", cell, params).values()))
    assert_close(outputs(cell, params, xs)[1], run(made, xs)[1])
    same_bits(params, weights.load("keras", cell, made.get_weights()).params)


def test_bidirectional_layers_convert_both_ways():
    xs = inputs()
    made = keras.layers.Bidirectional(keras.layers.LSTM(H, return_sequences=True, return_state=True))
    made.build((None, None, D))
    cell = cells.bidirectional(cells.lstm(H), cells.lstm(H))
    params = random_params(cell, seed=6)
    made.set_weights(list(weights.dump("keras", cell, params).values()))
    their_state, theirs = run(made, xs)
    state, hs = outputs(cell, params, xs)
    assert_close(hs, theirs)
    jax.tree.map(assert_close, weights.dump_state("keras", cell, state), their_state)
    same_bits(params, weights.load("keras", "LSTM", made.get_weights()).params)


def test_the_unit_forget_bias_is_part_of_the_bias_array():
    """``unit_forget_bias`` is the initial value; keras adds nothing later."""
    made = keras.layers.LSTM(H, unit_forget_bias=True, return_sequences=True, return_state=True)
    made.build((None, None, D))
    cell, params = weights.load("keras", "LSTM", made.get_weights())
    np.testing.assert_array_equal(params.b[H : 2 * H], 1)
    assert_close(outputs(cell, params, inputs())[1], run(made, inputs())[1])


def test_a_layer_without_bias_is_read():
    made = layer("GRU", use_bias=False)
    cell, params = weights.load("keras", "GRU", made.get_weights())
    assert_close(outputs(cell, params, inputs())[1], run(made, inputs())[1])
