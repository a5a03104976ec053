"""The observed unroll: results of ``unroll``, states, and the gradient at every state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians.state_cotangents import state_cotangents
from rnnlm_jax.unroll import unroll
from rnnlm_jax.unroll.observed_unroll import as_state, observed_unroll, single_cells, zero_shifts
from tests.unroll.programs import ADMISSIBLE

T, B, D, H = 4, 2, 3, 3
WIDE = {"param_dtype": "float64"}
RNG = np.random.default_rng(2)
WEIGHTS = jnp.asarray(RNG.normal(size=(T, B, H)))
MAKERS = {
    "lstm": lambda: cells.lstm(H, **WIDE),
    "gru": lambda: cells.gru(H, **WIDE),
    "deltanet": lambda: cells.deltanet(H, **WIDE),
    "slstm": lambda: cells.slstm(H, heads=3, recurrent_init="orthogonal", **WIDE),
    "layer norm": lambda: cells.layer_norm_lstm(H, **WIDE),
    "stack": lambda: cells.stack(
        cells.elman(H, **WIDE), cells.stack(cells.gru(H, **WIDE), cells.lstm(H, **WIDE), residual=True), residual=True
    ),
    "summed": lambda: cells.stack(
        cells.elman(H, **WIDE), cells.gru(H, **WIDE), cells.lstm(H, **WIDE), sum_outputs=True
    ),
}


def case(name):
    cell = MAKERS[name]()
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state((B,))))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.7 * RNG.normal(size=s.shape)), shapes)
    if name in ADMISSIBLE:
        params, state = ADMISSIBLE[name](params, state)
    return cell, params, state, jnp.asarray(RNG.normal(size=(T, B, D)))


def halved(layer, xs):
    return xs * [1.0, 0.5, 0.25][layer]


def loss(outputs):
    last, hs = outputs
    return (WEIGHTS * hs).sum() + sum((leaf**2).sum() for leaf in jax.tree.leaves(last))


@functools.partial(jax.jit, static_argnums=0)
def both(cell, params, state, xs):
    """Loss and gradients of both; of the observed one also the states, and the gradients at the shifts."""

    def of_unroll(params, state, xs):
        return loss(unroll(cell, params, state, xs, layer_input=halved))

    def observed(params, state, xs, shifts):
        last, hs, states = observed_unroll(
            cell, params, state, xs, shifts=shifts, layer_input=halved, remat_chunk=2, executor="native"
        )
        return loss((last, hs)), (hs, states)

    plain = jax.value_and_grad(of_unroll, argnums=(0, 1, 2))(params, state, xs)
    shifts = zero_shifts(cell, xs)
    (value, aux), (*gradients, of_shifts) = jax.value_and_grad(observed, argnums=(0, 1, 2, 3), has_aux=True)(
        params, state, xs, shifts
    )
    return plain, (value, tuple(gradients)), aux, of_shifts


@pytest.mark.parametrize("name", MAKERS)
def test_outputs_and_gradients_are_those_of_unroll(name):
    cell, params, state, xs = case(name)
    plain, found, _, _ = both(cell, params, state, xs)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["lstm", "layer norm", "deltanet", "slstm"])
def test_states_and_the_gradient_at_each(name):
    cell, params, state, xs = case(name)
    _, _, (hs, (states,)), (of_shift,) = both(cell, params, state, xs)
    assert jax.tree.structure(states.before) == jax.tree.structure(state)
    s = state
    for t in range(T):
        for one, other in zip(jax.tree.leaves(s), jax.tree.leaves(states.before), strict=True):
            np.testing.assert_allclose(other[t], one, rtol=1e-12, atol=1e-14)
        s = cell.step(params, s, states.zs[t])
    np.testing.assert_allclose(hs[-1], cell.output(params, s, states.zs[-1]), rtol=1e-12)

    def through_outputs(shift_at_the_end, hs):  # the last state adds its own gradient at the last step
        return (WEIGHTS * hs).sum() + shift_at_the_end

    cotangents = jax.grad(through_outputs, argnums=1)(0.0, hs)
    deltas = state_cotangents(cell, params, state, xs, output_cotangents=cotangents)
    found = as_state(cell, of_shift)
    only_outputs = jax.grad(
        lambda shifts: (WEIGHTS * observed_unroll(cell, params, state, xs, shifts=shifts)[1]).sum()
    )(zero_shifts(cell, xs))
    for one, other in zip(jax.tree.leaves(deltas), jax.tree.leaves(as_state(cell, only_outputs[0])), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    last = jax.tree.map(lambda d, s: d[-1] + 2 * s, deltas, s)
    for one, other in zip(jax.tree.leaves(last), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(one, other[-1], rtol=1e-11, atol=1e-13)


def test_the_cells_of_nested_stacks_and_of_pairs():
    assert [each.spec.kind for each in single_cells(MAKERS["stack"]())] == ["elman", "gru", "lstm"]
    with pytest.raises(UserError, match="observe its two cells"):
        single_cells(cells.bidirectional(cells.gru(2), cells.gru(2)))


@pytest.mark.parametrize("name", ["lstm", "gru", "stack"])
def test_executors_add_shifts_alike(name):
    """Results and gradients at shifts that are not zero, where shifts are a sequence of their own and where not."""
    cell, params, state, xs = case(name)
    shifts = tuple(jnp.asarray(0.3 * RNG.normal(size=shift.shape)) for shift in zero_shifts(cell, xs))

    def results(executor):
        def value(params, shifts):
            last, hs, states = observed_unroll(cell, params, state, xs, shifts=shifts, executor=executor)
            return loss((last, hs)), (hs, states)

        return jax.jit(jax.value_and_grad(value, argnums=(0, 1), has_aux=True))(params, shifts)

    for one, other in zip(jax.tree.leaves(results("structured")), jax.tree.leaves(results("scan")), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
