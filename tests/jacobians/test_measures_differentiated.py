"""Derivatives of log singular values, exponents and regularisers against central differences, at short and long lags.

All are computed in one program for each cell, under jit, in float64; the step of the differences is 1e-5, and their own
error about 1e-6 of the largest derivative.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from rnnlm_jax import cells, jacobians
from rnnlm_jax.jacobians.trajectory import trajectory
from tests.unroll.programs import jit

D, T, LAGS = 2, 200, (1, 10, 200)
KEY = jax.random.key(6)
MAKERS = {
    "elman": lambda: cells.elman(3, param_dtype="float64"),
    "gru": lambda: cells.gru(3, param_dtype="float64"),
    "lstm": lambda: cells.lstm(2, param_dtype="float64"),
    "mingru": lambda: cells.mingru(3, param_dtype="float64"),
}


@functools.cache
def point(name):
    """Return a cell, parameters, a state and inputs."""
    cell, rng = MAKERS[name](), np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: (cell.init(KEY, D), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.7 * rng.normal(size=s.shape)), shapes)
    return cell, params, state, jnp.asarray(rng.normal(size=(T, D)))


def measures(name, flat):
    """Return measures by name, as functions of all parameters, the state and the inputs in one vector."""
    cell, *rest = point(name)
    params, state, xs = ravel_pytree(tuple(rest))[1](flat)
    run = (cell, params, state, xs)
    spectra = jacobians.spectrum(*run, lags=LAGS, certify=False)
    found = {f"spectrum at lag {lag}": row for lag, row in zip(LAGS, spectra.log_singular_values, strict=True)}
    found["log-determinants"] = spectra.log_abs_det
    found["exponents"] = jacobians.lyapunov_spectrum(*run, key=KEY, burn_in=20, qr_interval=2).exponents
    found["finite-time"] = jacobians.finite_time_exponents(*run, window=50, key=KEY).ravel()
    found["flossing"] = jacobians.gradient_flossing(*run, count=2, key=KEY)[None]
    return found


@pytest.mark.parametrize("name", MAKERS)
def test_derivatives_of_spectra_and_exponents(name):
    flat = ravel_pytree(point(name)[1:])[0]
    direction = np.random.default_rng(8).normal(size=flat.shape) / flat.size**0.5
    pushed = jit(lambda flat: jax.jvp(functools.partial(measures, name), (flat,), (jnp.asarray(direction),)))
    step = 1e-5
    values, slopes = pushed(flat)
    ahead, behind = (pushed(flat + sign * step * direction)[0] for sign in (1, -1))
    for key, slope in slopes.items():
        expected = (ahead[key] - behind[key]) / (2 * step)
        assert np.isfinite(values[key]).all(), key
        assert np.abs(expected).max() > 1e-4, key
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max(), err_msg=key)
    if name == "gru":  # the reverse mode of cells with a dense Jacobian is that of the others
        return
    weights = {k: np.random.default_rng(len(k)).normal(size=np.shape(v)) for k, v in values.items()}

    def weighted(flat):
        return sum((weights[key] * value).sum() for key, value in measures(name, flat).items())

    gradient = jit(jax.grad(weighted))(flat)
    expected = sum((weights[key] * slope).sum() for key, slope in slopes.items())
    np.testing.assert_allclose(gradient @ direction, expected, rtol=1e-9)


def test_derivatives_in_float32_arithmetic_agree_with_float64():
    """To about 1e-3 of the largest, which is what float32 keeps over 200 steps."""
    cell, *rest = point("elman")
    flat = ravel_pytree(tuple(rest))[0]
    unravel = ravel_pytree(tuple(rest))[1]

    def total(flat, arithmetic):
        spectra = jacobians.spectrum(cell, *unravel(flat), lags=LAGS, certify=False, arithmetic=arithmetic)
        return spectra.log_singular_values[:, 0].sum()

    narrow, wide = (jit(jax.grad(total), static_argnums=1)(flat, arithmetic) for arithmetic in ("float32", "float64"))
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-3 * np.abs(wide).max())


@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_the_immediate_gradient_of_omega(name):
    """By the recurrent matrix alone, at fixed states and fixed gradients of the loss, as Pascanu et al. have it."""
    cell, params, state, xs = point(name)
    xs = xs[:30]

    def loss(hs):
        return (hs[-1] * jnp.arange(1.0, hs.shape[-1] + 1)).sum()

    def omega(w_h):
        return jacobians.pascanu_omega(cell, params._replace(w_h=w_h), state, xs, loss_of_outputs=loss)

    zs = cell.input_projection(params, xs)
    before = trajectory(cell, params, state, zs).before
    cotangents = jnp.zeros((30, cell.spec.output_size)).at[-1].set(jnp.arange(1.0, cell.spec.output_size + 1))
    deltas = jacobians.state_cotangents(cell, params, state, xs, output_cotangents=cotangents)
    _, update_vjp = jax.vjp(
        lambda s, r: cell.update(params, s, zs, r), before, cell.recurrent_projection(params, before)
    )
    direct, delta_r = update_vjp(deltas)

    def norm(state):
        return jnp.sqrt(sum(jnp.square(leaf).sum(axis=1) for leaf in jax.tree.leaves(state)))

    def at_fixed_states(w_h):
        moved = params._replace(w_h=w_h)
        through = jax.vjp(lambda s: cell.recurrent_projection(moved, s), before)[1](delta_r)[0]
        return jnp.square(norm(jax.tree.map(jnp.add, direct, through)) / norm(deltas) - 1).sum()

    value, slope = jit(jax.value_and_grad(omega))(params.w_h)
    fixed = jit(at_fixed_states)
    np.testing.assert_allclose(value, fixed(params.w_h), rtol=1e-12)
    direction, step = np.random.default_rng(1).normal(size=params.w_h.shape), 1e-6
    expected = (fixed(params.w_h + step * direction) - fixed(params.w_h - step * direction)) / (2 * step)
    np.testing.assert_allclose((slope * direction).sum(), expected, rtol=1e-6)


def test_singular_values_that_meet():
    """Near equal values, each derivative belongs to one choice of vectors; that of their sum is unaffected."""
    rng = np.random.default_rng(2)
    direction = rng.normal(size=(2, 2))
    for gap in (1e-3, 1e-8, 0.0):
        matrices = jnp.asarray(np.stack([np.diag([1.0 + gap, 1.0]), np.eye(2)]))

        def values(first, rest=matrices[1:]):
            return jacobians.product_spectrum(jnp.concatenate([first[None], rest]), certify=False).log_singular_values

        _, slopes = jax.jvp(values, (matrices[0],), (jnp.asarray(direction),))
        assert np.isfinite(slopes).all()
        expected = direction[0, 0] / (1 + gap) + direction[1, 1]
        np.testing.assert_allclose(slopes.sum(), expected, rtol=1e-9)
        if gap == 1e-3:
            np.testing.assert_allclose(slopes, [direction[0, 0] / (1 + gap), direction[1, 1]], rtol=1e-9)
