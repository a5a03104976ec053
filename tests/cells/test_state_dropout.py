"""State dropout: the recurrent product reads a masked state, everything else the state itself."""

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from tests.cells import reference
from tests.cells.reference import sigmoid
from tests.unroll.programs import CELLS, B, H, T, assert_close, dot, random_arrays, random_weights, run
from tests.unroll.programs import run_with_gradients as run_both


def gru(p, x, state, m):
    """The GRU of the reference with ``m h`` in its three recurrent products, and h in the sum of old and new."""
    (h,) = state
    reset = sigmoid(p["W_r"] @ x + p["U_r"] @ (m * h) + p["b_r"])
    keep = sigmoid(p["W_u"] @ x + p["U_u"] @ (m * h) + p["b_u"])
    candidate = np.tanh(p["W_n"] @ x + p["b_n"] + reset * (p["U_n"] @ (m * h) + p["bh_n"]))
    h = keep * h + (1.0 - keep) * candidate
    return (h,), h


def lstm(p, x, state, m):
    """The LSTM of the reference, which reads h in its recurrent products alone."""
    return reference.lstm(p, x, (m * state[0], state[1]))


STEPS = {"lstm": lstm, "gru": gru}


def numpy_run(name, arrays, mask):
    """Run a cell in NumPy with a mask ``[B, H]`` on h."""
    params, state, xs = arrays
    p, finals, outputs = reference.papers_parameters(name, params), [], np.zeros((T, B, H))
    for b in range(B):
        s = tuple(np.asarray(part, np.float64)[b] for part in state)
        for t in range(T):
            s, outputs[t, b] = STEPS[name](p, np.asarray(xs)[t, b], s, mask[b])
        finals.append(s)
    return tuple(np.array(part) for part in zip(*finals, strict=True)), outputs


def dropped(name, batch=(B,)):
    """The wrapped cell, its arrays, and the arrays and mask without the wrapper."""
    arrays = random_arrays(CELLS[name], name, batch=batch)
    cell = cells.state_dropout(CELLS[name], batch)
    masks = cells.draw_state_masks(CELLS[name], 0.4, jax.random.key(2), batch)
    return cell, (cells.StateDropoutParams(arrays[0], masks), *arrays[1:]), arrays, np.asarray(masks.hidden)


@pytest.mark.parametrize("name", STEPS)
def test_outputs_and_gradients_are_those_of_numpy_in_both_executors(name):
    cell, masked, arrays, mask = dropped(name)
    assert 0 < (mask == 0).mean() < 1
    weights = random_weights(CELLS[name], name)
    (final, hs), gradients = run_both(cell, *masked, weights, executor="scan")
    assert_close((tuple(final), hs), numpy_run(name, arrays, mask))
    assert_close(run_both(cell, *masked, weights, executor="structured"), ((final, hs), gradients))
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradients[0].masks))
    rng, step = np.random.default_rng(0), 1e-5
    direction = jax.tree.map(lambda a: rng.standard_normal(a.shape), arrays)

    def loss(distance):
        moved = jax.tree.map(lambda a, d: np.asarray(a) + distance * d, arrays, direction)
        return float(dot((tuple(weights[0]), weights[1]), numpy_run(name, moved, mask)))

    slope = float(dot((gradients[0].cell, *gradients[1:]), direction))
    assert slope == pytest.approx((loss(step) - loss(-step)) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("executor", ["scan", "structured", "native"])
def test_any_number_of_batch_axes(executor):
    """Of two batch axes each sequence has its own mask; so has the only sequence of no batch axis."""
    cell, (params, state, xs), _, _ = dropped("lstm", (2, 2))

    def flat(tree, before=0):
        return jax.tree.map(lambda a: a.reshape(*a.shape[:before], 4, *a.shape[before + 2 :]), tree)

    one = cells.state_dropout(CELLS["lstm"], (4,))
    final, hs = run(one, params._replace(masks=flat(params.masks)), flat(state), flat(xs, 1), executor=executor)
    found = run(cell, params, state, xs, executor=executor)
    assert_close((flat(found[0]), flat(found[1], 1)), (final, hs), 1e-14)
    z = cell.input_projection(params, xs[0])
    assert_close(cell.readout(params, cell.step(params, state, z)), found[1][0], 1e-13)
    alone = cells.state_dropout(CELLS["lstm"])
    first = jax.tree.map(lambda a: a[0, 0], (params.masks, state))
    _, single = run(alone, params._replace(masks=first[0]), first[1], xs[:, 0, 0], executor=executor)
    assert_close(single, hs[:, 0], 1e-13)


@pytest.mark.parametrize("executor", ["scan", "structured"])
def test_hidden_units_in_heads_are_dropped_one_by_one(executor):
    """An sLSTM of two heads, with two batch axes: dropping units of h is dropping rows of the recurrent matrix."""
    heads = cells.slstm(4, heads=2, recurrent_init="orthogonal", param_dtype="float64")
    params, state, xs = random_arrays(heads, "dropped heads", batch=(2, 1))
    state = state._replace(normalizer=1 + abs(state.normalizer))
    masks = cells.draw_state_masks(heads, 0.4, jax.random.key(2), (2, 1))
    assert masks.hidden.shape == (2, 1, 2, 2)
    assert 0 < (np.asarray(masks.hidden) == 0).mean() < 1
    cell = cells.state_dropout(heads, (2, 1))
    final, hs = run(cell, cells.StateDropoutParams(params, masks), state, xs, executor=executor)
    for b in range(2):
        dropped_rows = params._replace(w_h=params.w_h * np.asarray(masks.hidden[b, 0]).reshape(4, 1))
        one = jax.tree.map(lambda a, b=b: a[b], state)
        wanted_final, wanted = run(heads, dropped_rows, one, xs[:, b], executor="scan")
        assert_close(hs[:, b], wanted, 1e-12)
        assert_close(jax.tree.map(lambda a, b=b: a[b], final), wanted_final, 1e-12)


def test_the_mean_of_masks_is_one():
    masks = np.asarray(cells.draw_state_masks(CELLS["lstm"], 0.4, jax.random.key(0), (5000,)).hidden)
    assert set(np.unique(masks)) == {0.0, 1 / 0.6}
    assert abs(masks.mean() - 1) < 5 * np.sqrt(0.4 / 0.6 / masks.size)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mingru", "has no recurrent product"),
        ("feed-forward", "has no recurrent product"),
        ("lstm-layer-norm", "does not split into a recurrent product and an update"),
        ("gru-reset-before", "does not split"),
        ("stack", "does not split"),
    ],
)
def test_cells_without_a_separate_recurrent_product_are_refused(name, said):
    with pytest.raises(UserError, match=said):
        cells.state_dropout(CELLS[name], (B,))
