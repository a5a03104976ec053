"""The LRU against memax in float32, the dtype that its states have: outputs, final states and every gradient.

Its DeltaNet is not compared: it multiplies the memory by ``I - β k kᵀ`` on the side of the values (Yang et al. 2024,
section 2.2, have it on that of the keys).
"""

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells
from tests.unroll.programs import assert_close, dot, random_arrays, random_weights, run_with_gradients

lru = pytest.importorskip("memax.equinox.semigroups.lru")
eqx = pytest.importorskip("equinox")

pytestmark = pytest.mark.peers

T, B, H = 8, 3, 5  # the peer has one size for inputs, units and outputs


def peer(params, state, xs):
    w_real, w_imag = jnp.split(params.w_x.T, 2)
    fields = {
        "nu_log": params.log_nu,
        "theta_log": params.log_theta,
        "gamma_log": params.log_gamma,
        "B_re": w_real,
        "B_im": w_imag,
        "C_re": params.w_real.T,
        "C_im": params.w_imag.T,
        "D": params.w_skip,
    }
    blank = lru.LRU(H, H, jax.random.key(0))
    layer = eqx.tree_at(lambda layer: [getattr(layer, name) for name in fields], blank, list(fields.values()))
    no_starts = jnp.zeros((T,), bool)

    def one(real, imag, xs):
        first = ((jnp.ones((H,), jnp.complex64), jax.lax.complex(real, imag)), jnp.zeros((), bool))
        ((_, states), _), hs = layer(first, (xs, no_starts))
        return states[-1], hs

    final, hs = jax.vmap(one, in_axes=(0, 0, 1), out_axes=(0, 1))(state.real, state.imag, xs)
    return type(state)(final.real, final.imag), hs


def test_lru_equals_the_peers():
    cell = cells.lru(H, param_dtype="float32")
    params, state, xs = random_arrays(cell, "lru", (B,), T, H)
    weights = random_weights(cell, "lru", (B,), T)
    ours = run_with_gradients(cell, params, state, xs, weights)

    def loss(params, state, xs):
        outputs = peer(params, state, xs)
        return dot(weights, outputs), outputs

    with jax.numpy_dtype_promotion("standard"):  # the peer multiplies states by flags
        gradients, outputs = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(params, state, xs)
    assert_close(ours, (outputs, gradients), 1e-5)
