"""Weight drop: which matrices cells declare, what is dropped, and the gradient through the mask."""

import dataclasses

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.unroll.structured import leaves_read
from tests.unroll.programs import CELLS, ZOO, assert_close, random_arrays, random_weights, run_with_gradients

RATE = 0.3


@pytest.mark.parametrize("name", [*ZOO, "lstm-capped"])
def test_declared_matrices_are_those_that_only_the_recurrence_reads(name):
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    z = cell.input_projection(params, xs[0])
    by_recurrence = leaves_read(cell.step, params, state, z)
    by_input, by_output = leaves_read(cell.input_projection, params, xs), leaves_read(cell.output, params, state, z)
    names = [name for name, leaf in params._asdict().items() if leaf is not None]
    only = [
        name
        for name, leaf, *read in zip(names, jax.tree.leaves(params), by_recurrence, by_input, by_output, strict=True)
        if read == [True, False, False] and leaf.ndim == 2
    ]
    assert cell.facts.recurrent_matrices == tuple(only)


def test_kept_weights_are_scaled_and_their_mean_is_the_weight():
    cell, draws = CELLS["lstm-projected"], 3000
    params = jax.tree.map(lambda a: a + 3.0, random_arrays(cell, "lstm-projected")[0])
    keys = jax.random.split(jax.random.key(0), draws)
    dropped = jax.jit(jax.vmap(lambda key: cells.weight_drop(cell, params, RATE, key)))(keys)
    w, many = np.asarray(params.w_h), np.asarray(dropped.w_h)
    np.testing.assert_allclose(many, np.where(many == 0, 0, w / (1 - RATE)), rtol=1e-14)
    assert np.abs(many.mean(0) - w).max() < 5 * (w * np.sqrt(RATE / (1 - RATE) / draws)).max()
    assert_close(jax.tree.map(lambda a: a[0], dropped._replace(w_h=None)), params._replace(w_h=None), 0.0)


def ones_of(cell):
    """Parameters that are all one, without the time that initialisers take to compile."""
    return jax.tree.map(lambda a: np.ones(a.shape), jax.eval_shape(lambda: cell.init(jax.random.key(0), 5)))


def test_layers_have_their_own_masks():
    layer = CELLS["elman-tanh"]
    stack = cells.stack(layer, cells.stack(layer, layer))
    first, (second, third) = cells.weight_drop(stack, ones_of(stack), 0.5, jax.random.key(1))
    assert len({np.asarray(each.w_h).tobytes() for each in (first, second, third)}) == 3
    both = cells.bidirectional(layer, layer)
    ahead, back = cells.weight_drop(both, ones_of(both), 0.5, jax.random.key(1))
    assert not np.array_equal(np.asarray(ahead.w_h) == 0, np.asarray(back.w_h) == 0)


@pytest.mark.parametrize("executor", [None, "scan"])
def test_the_gradient_goes_through_the_mask(executor):
    """The gradient of W is that of the dropped matrix times its mask; the kernel, where there is one, runs it."""
    cell, key = CELLS["lstm"], jax.random.key(4)
    params, state, xs = random_arrays(cell, "lstm")
    weights = random_weights(cell, "lstm")
    dropped, pullback = jax.vjp(lambda params: cells.weight_drop(cell, params, RATE, key), params)
    _, (of_dropped, _, _) = run_with_gradients(cell, dropped, state, xs, weights, executor=executor)
    (found,) = pullback(of_dropped)
    keep = np.asarray(dropped.w_h) != 0
    assert_close(found, of_dropped._replace(w_h=np.where(keep, of_dropped.w_h, 0) / (1 - RATE)), 1e-14)


def test_cells_without_matrices_to_drop_are_refused():
    def drop(cell, rate=RATE):
        cells.weight_drop(cell, ones_of(cell), rate, jax.random.key(0))

    with pytest.raises(UserError, match="a mingru cell has no recurrent matrix"):
        drop(cells.stack(CELLS["lstm"], CELLS["mingru"]))
    with pytest.raises(UserError, match="this lstm cell does not declare its `recurrent_matrices`"):
        drop(dataclasses.replace(CELLS["lstm"]))  # without facts
    with pytest.raises(UserError, match="`rate` must be at least 0 and below 1, not 1.0"):
        drop(CELLS["lstm"], 1.0)
