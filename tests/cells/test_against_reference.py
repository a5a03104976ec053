"""Every cell of the zoo against an independent implementation of its paper."""

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.interop import weights
from tests.cells import reference
from tests.unroll.programs import (
    CELLS,
    ZOO,
    assert_close,
    everything,
    random_arrays,
    random_weights,
    run,
    run_with_gradients,
)


def test_the_reference_has_every_registered_cell():
    assert set(reference.CELLS) == set(cells.names())


@pytest.mark.parametrize("name", [*ZOO, *reference.VARIANTS])
def test_outputs_and_final_state_are_those_of_the_paper(name):
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    assert all(np.all(np.asarray(leaf) != 0) for leaf in jax.tree.leaves((params, state)))
    (final, hs), _ = run_with_gradients(cell, params, state, xs, random_weights(cell, name), **everything())
    wanted_final, wanted_hs = reference.run(name, params, state, xs)
    assert_close(tuple(final), wanted_final, 1e-10)
    assert_close(hs, wanted_hs, 1e-10)


@pytest.mark.parametrize("name", [name for name in ZOO if CELLS[name].splits])
def test_the_recurrent_projection_is_linear_and_the_update_elementwise(name):
    """The two promises of a cell that splits: executors and Jacobians stand on them."""
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    other = jax.tree.map(lambda a: a[::-1], state)
    combined = jax.tree.map(lambda a, b: 2.0 * a - 3.0 * b, state, other)
    assert_close(
        cell.recurrent_projection(params, combined),
        2.0 * cell.recurrent_projection(params, state) - 3.0 * cell.recurrent_projection(params, other),
        tolerance=1e-13,
    )

    # A permutation of the units (of the state and of every gate) commutes with the update, and one unit's inputs move
    # no other unit: rolling by one and by two would show any exchange.
    z, r = cell.input_projection(params, xs[0]), cell.recurrent_projection(params, state)
    units = state[0].shape[-1]

    def roll(a, shift):  # within each gate's block of the last axis
        return np.roll(np.reshape(a, (*a.shape[:-1], -1, units)), shift, axis=-1).reshape(a.shape)

    untouched = cell.update(params, state, z, r)
    touched = cell.update(params, jax.tree.map(lambda a: a.at[..., 0].add(1.0), state), z, r)
    assert_close(jax.tree.map(lambda a: a[..., 1:], touched), jax.tree.map(lambda a: a[..., 1:], untouched), 0.0)
    vectors = {f for f, a in params._asdict().items() if a is not None and a.shape == (units,)}
    for shift in (1, 2):
        rolled = params._replace(**{f: roll(getattr(params, f), shift) for f in vectors})
        moved = cell.update(
            rolled,
            jax.tree.map(lambda a, s=shift: roll(a, s), state),
            *(jax.numpy.asarray(roll(a, shift)) for a in (z, r)),
        )
        assert_close(moved, jax.tree.map(lambda a, s=shift: roll(np.asarray(a), s), untouched), 1e-14)


def test_a_capped_input_gate_bounds_the_cell_state():
    """From |c| at most 1, c stays there; the free gate leaves the bound at once with the same parameters."""
    free, capped = CELLS["lstm"], CELLS["lstm-capped"]
    params, state, xs = random_arrays(free, "lstm")
    params = params._replace(b=params.b + 4.0)  # all gates open
    state = state._replace(cell=np.clip(state.cell, -1, 1))
    bounded, left = (run(cell, params, state, xs)[0] for cell in (capped, free))
    assert np.abs(bounded.cell).max() <= 1 + 1e-12  # rounding
    assert np.abs(left.cell).max() > 2


def test_other_libraries_do_not_run_a_capped_input_gate():
    cell = CELLS["lstm-capped"]
    arrays = random_arrays(cell, "lstm-capped")
    with pytest.raises(UserError, match="lstm-capped cell"):
        run(cell, *arrays, executor="cudnn")
    with pytest.raises(UserError, match="torch cannot express lstm-capped"):
        weights.dump("torch", cell, arrays[0])
    with pytest.raises(UserError, match="`input_gate` must be one of free, capped, not 'tied'"):
        cells.lstm(5, input_gate="tied")


def test_without_its_bias_a_cell_equals_itself_with_a_zero_bias():
    """Without its optional bias a cell is the same cell with that bias at zero."""
    for name, option, field in (("elman-tanh", "bias", "b"), ("linear", "bias", "b"), ("gru", "candidate_bias", "b_n")):
        without = cells.make(name, 5, param_dtype="float64", **{option: False})
        params, state, xs = random_arrays(without, name)
        assert getattr(params, field) is None
        zeros = params._replace(**{field: np.zeros(5)})
        z_without, z_with = without.input_projection(params, xs[0]), CELLS[name].input_projection(zeros, xs[0])
        assert_close(without.step(params, state, z_without), CELLS[name].step(zeros, state, z_with), 1e-14)
