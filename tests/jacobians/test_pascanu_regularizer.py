"""Pascanu's regulariser: value and immediate derivative against a loop in NumPy, and against a frozen function."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.cells.elman import ElmanParams
from rnnlm_jax.jacobians.pascanu_regularizer import pascanu_omega
from tests.unroll.programs import jit

T, B, D, H = 4, 2, 3, 4
LAST = 3  # steps with a loss; δ is zero after them
WEIGHTS = jnp.asarray(np.random.default_rng(9).normal(size=(LAST, B, H)))
MAKERS = {
    "elman": lambda: cells.elman(H, param_dtype="float64"),
    "lstm": lambda: cells.lstm(H, param_dtype="float64"),
    "layer norm": lambda: cells.layer_norm_lstm(H, param_dtype="float64"),
    "stack": lambda: cells.stack(cells.lstm(H, param_dtype="float64"), cells.gru(H, param_dtype="float64")),
}


def loss(hs):
    return (WEIGHTS * hs[:LAST]).sum() + (hs[:LAST] ** 2).sum()


@functools.partial(jax.jit, static_argnums=(0, 4))
def value_and_gradient(cell, params, state, xs, squared_norms):
    omega = functools.partial(pascanu_omega, loss_of_outputs=loss, squared_norms=squared_norms)
    return jax.value_and_grad(omega, argnums=1)(cell, params, state, xs)


def case(name, seed=0):
    cell, rng = MAKERS[name](), np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state((B,))))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.7 * rng.normal(size=s.shape)), shapes)
    return cell, params, state, jnp.asarray(rng.normal(size=(T, B, D)))


def elman_by_hand(params, state, xs, squared):
    """Return Ω and its immediate derivative with respect to w_h, computed sequence by sequence."""
    w, omega, gradient = np.asarray(params.w_h), 0.0, np.zeros((H, H))
    for b in range(B):
        h, hs = np.asarray(state.hidden[b]), []
        for x in np.asarray(xs[:, b]):
            hs.append(h := np.tanh(x @ np.asarray(params.w_x) + h @ w + np.asarray(params.b)))
        later = np.zeros(H)
        for t in reversed(range(T)):
            delta = later + (np.asarray(WEIGHTS[t, b]) + 2 * hs[t] if t < LAST else 0.0)
            through = (1 - hs[t] ** 2) * delta
            later = w @ through
            if t >= LAST:
                assert (delta == 0).all()
                continue
            ratio = np.linalg.norm(later) / np.linalg.norm(delta)
            slope = np.outer(later, through) / (np.linalg.norm(later) * np.linalg.norm(delta))  # ∂ratio/∂w
            if squared:
                ratio, slope = ratio**2, 2 * ratio * slope
            omega += (ratio - 1) ** 2 / B
            gradient += 2 * (ratio - 1) * slope / B
    return omega, gradient


@pytest.mark.parametrize("squared", [False, True])
def test_value_and_gradient_of_an_elman_cell_by_hand(squared):
    cell, params, state, xs = case("elman")
    result, gradient = value_and_gradient(cell, params, state, xs, squared)
    expected, expected_gradient = elman_by_hand(params, state, xs, squared)
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient.w_h, expected_gradient, rtol=0, atol=1e-12)
    assert np.abs(expected_gradient).max() > 0.01
    assert (gradient.w_x == 0).all()
    assert (gradient.b == 0).all()


def frozen_omega(cell, params, fixed, state, xs):
    """Return Ω with the recurrent map of ``params``, and states, δ and derivatives of nonlinearities of ``fixed``."""
    zs, s, befores = cell.input_projection(fixed, xs), state, []
    for z in zs:
        befores.append(s)
        s = cell.step(fixed, s, z)

    def perturbed(shifts):
        s, hs = state, []
        for t in range(T):
            s = jax.tree.map(jnp.add, cell.step(fixed, s, zs[t]), jax.tree.map(lambda a, t=t: a[t], shifts))
            hs.append(cell.readout(fixed, s))
        return loss(jnp.stack(hs))

    deltas = jax.grad(perturbed)(jax.tree.map(lambda a: jnp.zeros((T, *a.shape)), state))

    def step(s, t):
        if not cell.splits:
            return cell.step(params, s, zs[t])
        change = jax.tree.map(jnp.subtract, s, befores[t])  # zero at the state before the step
        moved = cell.recurrent_projection(params, change)
        return cell.update(fixed, s, zs[t], cell.recurrent_projection(fixed, befores[t]) + moved)

    def norm(tree):
        return jnp.sqrt(sum((leaf**2).sum(-1) for leaf in jax.tree.leaves(tree)))

    total = 0.0
    for t in range(LAST):
        delta = jax.tree.map(lambda a, t=t: a[t], deltas)
        (pulled,) = jax.vjp(functools.partial(step, t=t), befores[t])[1](delta)
        total += ((norm(pulled) / norm(delta) - 1) ** 2).mean()
    return total


@pytest.mark.parametrize("name", ["lstm", "layer norm", "stack"])
def test_gradient_is_that_of_the_frozen_function(name):
    cell, params, state, xs = case(name)
    result, gradient = value_and_gradient(cell, params, state, xs, False)
    frozen = jit(lambda live: frozen_omega(cell, live, params, state, xs))
    np.testing.assert_allclose(result, frozen(params), rtol=1e-11)
    rng = np.random.default_rng(1)
    directions = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)
    ends = [frozen(jax.tree.map(lambda a, d, e=e: a + e * d, params, directions)) for e in (1e-5, -1e-5)]
    slope = sum((g * d).sum() for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(directions), strict=True))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)
    lowest = gradient[0] if name == "stack" else gradient
    assert (lowest.w_x == 0).all()  # inputs are projected beforehand
    assert (lowest.w_h != 0).all()
    if cell.splits:
        assert all((g == 0).all() for field, g in gradient._asdict().items() if field != "w_h")


def test_an_orthogonal_linear_network_has_omega_zero():
    cell = cells.linear(H, param_dtype="float64")
    _, params, state, xs = case("elman")
    params = params._replace(w_h=jnp.asarray(np.linalg.qr(np.asarray(params.w_h))[0]))
    omega, gradient = value_and_gradient(cell, params, state, xs, False)
    assert omega < 1e-28
    assert np.abs(gradient.w_h).max() < 1e-14


def test_only_squared_norms_leave_small_gradients_out():
    """In float32 the square of a δ of 1e-30 underflows, but its direction is used."""
    cell = cells.elman(H)
    _, params, state, xs = case("elman")
    params, state, xs = jax.tree.map(lambda a: a.astype(jnp.float32), (params, state, xs))

    def omega(scale, squared):
        return pascanu_omega(
            cell, params, state, xs, loss_of_outputs=lambda hs: scale * hs[:LAST].sum(), squared_norms=squared
        )

    omega = jit(omega, static_argnums=1)
    assert omega(1.0, False).dtype == jnp.float32
    np.testing.assert_allclose(omega(1e-30, False), omega(1.0, False), rtol=1e-5)
    assert omega(1.0, True) > 0.1
    assert omega(1e-12, True) == 0
    assert omega(0.0, False) == omega(0.0, True) == 0


def test_a_dead_network_has_a_finite_gradient():
    """J = 0: every term is 1, and the derivative of the square root at zero is not used."""
    cell = MAKERS["elman"]()
    params = ElmanParams(jnp.zeros((D, H)), jnp.zeros((H, H)), jnp.ones(H))
    _, _, state, xs = case("elman")
    omega, gradient = value_and_gradient(cell, params, state, xs, False)
    assert omega == LAST
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))
