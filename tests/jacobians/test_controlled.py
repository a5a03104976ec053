"""Jacobians with masks, lengths and resets are the derivatives of ``unroll`` with them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.cells.state_vector import from_vector, to_vector
from rnnlm_jax.jacobians import (
    controlled,
    gradient_by_lag,
    lyapunov_spectrum,
    products,
    spectrum,
    state_cotangents,
    state_product,
    top_singular,
)
from rnnlm_jax.jacobians.products import step_jacobians
from tests.unroll.programs import ADMISSIBLE

H, D, T = 3, 2, 6
MASK = np.array([1, 0, 1, 1, 1, 0], bool)
RESETS = np.array([0, 0, 0, 1, 0, 0], bool)
NONE = np.zeros(T, bool)


#: Every cell that can be stepped.
CELLS = {name: cells.make(name, H, param_dtype="float64") for name in cells.names()}
CELLS = {name: cell for name, cell in CELLS.items() if cell.splits or cell.whole_step}
CELLS["stack"] = cells.stack(cells.lstm(H, param_dtype="float64"), cells.gru(H, param_dtype="float64"))


def case(cell):
    params = cell.init(jax.random.key(0), D)
    leaves, structure = jax.tree.flatten(cell.initial_state(()))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    state = structure.unflatten([jax.random.normal(k, a.shape, a.dtype) / 2 for k, a in zip(keys, leaves, strict=True)])
    if cell.spec.kind in ADMISSIBLE:
        params, state = ADMISSIBLE[cell.spec.kind](params, state)
    return params, state, jax.random.normal(jax.random.key(2), (T, D))


@functools.partial(jax.jit, static_argnums=0)
def jacobian_of_unroll(cell, params, state, xs, **control):
    """Return ``∂s_T / ∂s_0`` by reverse mode."""
    unravel = from_vector(cell)
    return jax.jacrev(lambda s: to_vector(unroll(cell, params, unravel(s), xs, **control)[0]))(to_vector(state))


@pytest.mark.parametrize("name", CELLS)
def test_products_are_jacobians_of_unroll(name):
    cell = CELLS[name]
    params, state, xs = case(cell)
    for mask, resets in ((MASK, NONE), (MASK, RESETS), (~NONE, RESETS)):
        changed = controlled(cell, np.where(mask[:, None], xs, np.nan), mask=mask, resets=resets)
        expected = jacobian_of_unroll(cell, params, state, xs, mask=mask, resets=resets)
        result = state_product(changed.cell, params, state, changed.xs, i=T, j=0).plain()
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


def test_masked_steps_have_the_identity_and_resets_have_zero():
    cell = CELLS["lstm"]
    params, state, xs = case(cell)
    plain = step_jacobians(cell, params, state, xs)
    changed, xs = controlled(cell, xs, mask=MASK, resets=RESETS)
    result = np.asarray(step_jacobians(changed, params, state, xs))
    np.testing.assert_array_equal(result[1], np.eye(2 * H))
    np.testing.assert_array_equal(result[3], 0)
    np.testing.assert_allclose(result[0], plain[0], rtol=0, atol=1e-15)


def test_the_spectrum_after_a_reset_is_trusted_to_be_zero():
    cell = CELLS["gru"]
    params, state, xs = case(cell)
    changed, xs = controlled(cell, xs, mask=MASK, resets=RESETS)
    result = spectrum(changed, params, state, xs, lags=[1, 2, 3, T])
    values = result.log_singular_values
    np.testing.assert_allclose(values[0], values[1], rtol=1e-14)  # step 2 is masked
    assert np.isfinite(values[2]).all()
    assert np.isneginf(values[3]).all()
    assert result.trusted.all()


def test_products_of_sequences_of_different_lengths():
    cell = CELLS["lstm"]
    params, state, xs = case(cell)
    batch = jnp.stack([xs, 2 * xs], axis=1)
    states = jax.tree.map(lambda a: jnp.stack([a, a]), state)
    changed, inputs = controlled(cell, batch, lengths=np.array([2, T]))
    result = products(changed, params, states, inputs)
    for k, length in enumerate((2, T)):
        alone = products(cell, params, state, batch[:length, k])
        np.testing.assert_allclose(result.plain()[length - 1, k], alone.plain()[-1], rtol=1e-12)
        np.testing.assert_allclose(result.plain()[-1, k], alone.plain()[-1], rtol=1e-12)


def test_gradients_pass_through_masked_steps():
    cell = CELLS["gru"]
    params, state, xs = case(cell)
    changed, inputs = controlled(cell, xs, mask=MASK)
    cotangents = np.where(MASK[:, None], 1.0, 0.0) * np.ones((T, H))
    plain = state_cotangents(cell, params, state, xs[MASK], output_cotangents=cotangents[MASK])
    result = state_cotangents(changed, params, state, inputs, output_cotangents=cotangents)
    np.testing.assert_allclose(result.hidden[MASK], plain.hidden, rtol=1e-12)
    norms = gradient_by_lag(changed, params, state, inputs, loss_of_output=lambda h: h.sum())
    expected = gradient_by_lag(cell, params, state, xs[MASK], loss_of_output=lambda h: h.sum())
    np.testing.assert_allclose(norms.state.hidden[-1], expected.state.hidden[-1], rtol=1e-12)
    assert np.isneginf(norms.inputs[T - 1 - np.flatnonzero(~MASK)]).all()


def test_exponents_and_singular_values_leave_masked_steps_out():
    cell = CELLS["elman-tanh"]
    params, state, xs = case(cell)
    changed, inputs = controlled(cell, xs, mask=MASK)
    key = jax.random.key(3)
    result = lyapunov_spectrum(changed, params, state, inputs, key=key)
    expected = lyapunov_spectrum(cell, params, state, xs[MASK], key=key)
    np.testing.assert_allclose(result.exponents * T, expected.exponents * MASK.sum(), rtol=1e-9)
    top = top_singular(changed, params, state, inputs, k=1, key=key)
    np.testing.assert_allclose(
        top.log_singular_values[0], spectrum(cell, params, state, xs[MASK]).log_singular_values[0, 0], rtol=1e-9
    )


def test_wrong_shapes_are_refused_and_cells_are_cached():
    cell = cells.gru(H)
    with pytest.raises(UserError, match="`mask` has shape"):
        controlled(cell, np.zeros((T, D)), mask=MASK[:-1])
    with pytest.raises(UserError, match="at least time and features"):
        controlled(cell, np.zeros(T))
    assert controlled(cell, np.zeros((T, D)), mask=MASK).cell is controlled(cell, np.zeros((2, D))).cell
