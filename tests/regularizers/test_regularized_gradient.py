"""Regularisers of a network that is not a language model, against the functions of ``jacobians``."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.jacobians import gradient_flossing, pascanu_omega
from rnnlm_jax.regularizers import make_regularizers, regularized_value_and_grad
from rnnlm_jax.regularizers.recurrence import FRAMES
from rnnlm_jax.unroll import unroll

T, B, D, H = 4, 2, 2, 3
RNG = np.random.default_rng(4)
CELL = cells.lstm(H, param_dtype="float64")
KEY = jax.random.key(1)


class Network(NamedTuple):
    """A cell with a linear readout."""

    cell: Any
    w: Any


def draw(shapes):
    return jax.tree.map(lambda s: jnp.asarray(0.7 * RNG.normal(size=s.shape)), shapes)


PARAMS = Network(draw(jax.eval_shape(lambda: CELL.init(KEY, D))), jnp.asarray(RNG.normal(size=H)))
STATE = draw(CELL.initial_state((B,)))
XS, WANTED = jnp.asarray(RNG.normal(size=(T, B, D))), jnp.asarray(RNG.normal(size=(T, B)))


def loss(params, hs):
    return jnp.square(hs @ params.w - WANTED).mean()


def regularized(pairs, weight):
    return jax.jit(
        lambda params: regularized_value_and_grad(
            CELL,
            params,
            STATE,
            XS,
            loss=loss,
            weights=jnp.full((T, B), weight),
            regularizers=make_regularizers(pairs),
            key=KEY,
        )
    )(PARAMS)


def outputs(params):
    return unroll(CELL, params.cell, STATE, XS)[1]


def assert_gradient(found, objective):
    wanted = jax.jit(jax.grad(objective))(PARAMS)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-11)


def test_omega_is_that_of_jacobians():
    (value, terms, _), gradient = regularized((("omega", 2.0),), 1 / B)

    def omega(params):
        return pascanu_omega(CELL, params.cell, STATE, XS, loss_of_outputs=lambda hs: loss(PARAMS, hs))

    np.testing.assert_allclose(value, loss(PARAMS, outputs(PARAMS)), rtol=1e-12)
    np.testing.assert_allclose(terms["omega"], 2 * omega(PARAMS), rtol=1e-10)
    assert_gradient(gradient, lambda params: loss(params, outputs(params)) + 2 * omega(params))


def test_flossing_is_that_of_jacobians():
    (_, terms, _), gradient = regularized((("flossing", 0.3), ("flossing_exponents", 2)), 1 / (T * B))
    key = jax.random.fold_in(jax.random.fold_in(KEY, FRAMES), 0)

    def flossing(params):
        def of_sequence(state, xs):
            return gradient_flossing(CELL, params.cell, state, xs, count=2, key=key)

        return jax.vmap(of_sequence, in_axes=(0, 1))(STATE, XS).mean()

    np.testing.assert_allclose(terms["flossing"], 0.3 * flossing(PARAMS), rtol=1e-10)
    assert_gradient(gradient, lambda params: loss(params, outputs(params)) + 0.3 * flossing(params))


def test_terms_of_outputs_need_no_states():
    (value, terms, last), _ = regularized((("activation", 2),), 1 / (T * B))
    np.testing.assert_allclose(terms["activation"], 2 * np.square(outputs(PARAMS)).mean(), rtol=1e-12)
    np.testing.assert_allclose(value, loss(PARAMS, outputs(PARAMS)), rtol=1e-12)
    jax.tree.map(np.testing.assert_array_equal, last, unroll(CELL, PARAMS.cell, STATE, XS)[0])


def test_features_below_the_cell_have_a_gradient():
    """Omega's gradient of the cell is added to that of an embedding, which comes from the loss alone."""

    class Embedded(NamedTuple):
        cell: Any
        w: Any
        table: Any

    params = Embedded(*PARAMS, jnp.asarray(RNG.normal(size=(5, D))))
    symbols = jnp.asarray(RNG.integers(0, 5, size=(T, B)))

    def gradient(pairs):
        return jax.jit(
            lambda params: regularized_value_and_grad(
                CELL,
                params,
                STATE,
                symbols,
                loss=loss,
                weights=jnp.full((T, B), 1 / B),
                regularizers=make_regularizers(pairs),
                features=lambda params, xs: params.table[xs],
                lengths=jnp.asarray([T, 2]),
            )[1]
        )(params)

    def plain(params):
        return loss(params, unroll(CELL, params.cell, STATE, params.table[symbols], lengths=jnp.asarray([T, 2]))[1])

    wanted = jax.grad(plain)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), gradient(()), wanted)
    assert np.abs(gradient((("omega", 2.0),)).table).max() > 0
