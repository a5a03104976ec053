"""Masks, lengths and resets in Jacobians: those of ``unroll``, differentiated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, unroll
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
from rnnlm_jax.jacobians.state_vector import from_vector, to_vector

H, D, T = 3, 2, 6
MASK = np.array([1, 0, 1, 1, 1, 0], bool)
RESETS = np.array([0, 0, 0, 1, 0, 0], bool)
NONE = np.zeros(T, bool)


#: All that can be stepped.
CELLS = {name: cells.make(name, H, param_dtype="float64") for name in cells.names()}
CELLS = {name: cell for name, cell in CELLS.items() if cell.splits or cell.whole_step}
CELLS["stack"] = cells.stack(cells.lstm(H, param_dtype="float64"), cells.gru(H, param_dtype="float64"))


def case(cell):
    params = cell.init(jax.random.key(0), D)
    leaves, structure = jax.tree.flatten(cell.initial_state(()))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    state = structure.unflatten([jax.random.normal(k, a.shape, a.dtype) / 2 for k, a in zip(keys, leaves, strict=True)])
    return params, state, jax.random.normal(jax.random.key(2), (T, D))


def by_unroll(cell, params, state, xs, **control):
    """``∂s_T / ∂s_0`` by reverse mode."""
    unravel = from_vector(cell)
    return jax.jacrev(lambda s: to_vector(unroll(cell, params, unravel(s), xs, **control)[0]))(to_vector(state))


@pytest.mark.parametrize("name", CELLS)
def test_products_over_the_zoo(name):
    cell = CELLS[name]
    params, state, xs = case(cell)
    for mask, resets in ((MASK, NONE), (MASK, RESETS), (~NONE, RESETS)):
        changed = controlled(cell, np.where(mask[:, None], xs, np.nan), mask=mask, resets=resets)
        wanted = by_unroll(cell, params, state, xs, mask=mask, resets=resets)
        found = state_product(changed.cell, params, state, changed.xs, T, 0).plain()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


def test_steps_that_are_masked_and_steps_before_which_the_state_is_reset():
    cell = CELLS["lstm"]
    params, state, xs = case(cell)
    plain = step_jacobians(cell, params, state, xs)
    changed, xs = controlled(cell, xs, mask=MASK, resets=RESETS)
    found = np.asarray(step_jacobians(changed, params, state, xs))
    np.testing.assert_array_equal(found[1], np.eye(2 * H))
    np.testing.assert_array_equal(found[3], 0)
    np.testing.assert_allclose(found[0], plain[0], rtol=0, atol=1e-15)


def test_the_spectrum_after_a_reset_is_nothing_for_certain():
    cell = CELLS["gru"]
    params, state, xs = case(cell)
    changed, xs = controlled(cell, xs, mask=MASK, resets=RESETS)
    found = spectrum(changed, params, state, xs, lags=[1, 2, 3, T])
    values = found.log_singular_values
    np.testing.assert_allclose(values[0], values[1], rtol=1e-14)  # step 2 is masked
    assert np.isfinite(values[2]).all()
    assert np.isneginf(values[3]).all()
    assert found.trusted.all()


def test_lengths_of_a_batch():
    cell = CELLS["lstm"]
    params, state, xs = case(cell)
    batch = jnp.stack([xs, 2 * xs], axis=1)
    states = jax.tree.map(lambda a: jnp.stack([a, a]), state)
    changed, inputs = controlled(cell, batch, lengths=[2, T])
    found = products(changed, params, states, inputs)
    for k, length in enumerate((2, T)):
        alone = products(cell, params, state, batch[:length, k])
        np.testing.assert_allclose(found.plain()[length - 1, k], alone.plain()[-1], rtol=1e-12)
        np.testing.assert_allclose(found.plain()[-1, k], alone.plain()[-1], rtol=1e-12)


def test_gradients_back_through_masked_steps():
    cell = CELLS["gru"]
    params, state, xs = case(cell)
    changed, inputs = controlled(cell, xs, mask=MASK)
    cotangents = np.where(MASK[:, None], 1.0, 0.0) * np.ones((T, H))
    plain = state_cotangents(cell, params, state, xs[MASK], cotangents[MASK])
    found = state_cotangents(changed, params, state, inputs, cotangents)
    np.testing.assert_allclose(found.hidden[MASK], plain.hidden, rtol=1e-12)
    norms = gradient_by_lag(changed, params, state, inputs, lambda h: h.sum())
    wanted = gradient_by_lag(cell, params, state, xs[MASK], lambda h: h.sum())
    np.testing.assert_allclose(norms.state.hidden[-1], wanted.state.hidden[-1], rtol=1e-12)
    assert np.isneginf(norms.inputs[T - 1 - np.flatnonzero(~MASK)]).all()


def test_other_functions_of_a_sequence():
    cell = CELLS["elman-tanh"]
    params, state, xs = case(cell)
    changed, inputs = controlled(cell, xs, mask=MASK)
    key = jax.random.key(3)
    found = lyapunov_spectrum(changed, params, state, inputs, key=key)
    wanted = lyapunov_spectrum(cell, params, state, xs[MASK], key=key)
    np.testing.assert_allclose(found.exponents * T, wanted.exponents * MASK.sum(), rtol=1e-9)
    top = top_singular(changed, params, state, inputs, 1, key)
    np.testing.assert_allclose(
        top.log_singular_values[0], spectrum(cell, params, state, xs[MASK]).log_singular_values[0, 0], rtol=1e-9
    )


def test_errors():
    cell = cells.gru(H)
    with pytest.raises(UserError, match="mask has shape"):
        controlled(cell, np.zeros((T, D)), mask=MASK[:-1])
    with pytest.raises(UserError, match="at least time and features"):
        controlled(cell, np.zeros(T))
    assert controlled(cell, np.zeros((T, D)), mask=MASK).cell is controlled(cell, np.zeros((2, D))).cell
