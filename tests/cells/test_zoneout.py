"""Zoneout: the sampled cell and the expectation against the papers' cells in NumPy, with masks written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from tests.cells import reference
from tests.unroll.programs import CELLS, B, D, H, T, assert_close, dot, random_arrays, random_weights, run
from tests.unroll.programs import run_with_gradients as run_both

#: One cell with two parts of the state, one with one part, one that does not split.
RATES = {"lstm": {"hidden": 0.25, "cell": 0.5}, "gru": {"hidden": 0.4}, "gru-reset-before": {"hidden": 0.4}}
#: Parts of the state with any number of axes, of cells with an output of their own.
RATES_OF_MATRICES = {"deltanet": {"memory": 0.4}, "mlstm": {"memory": 0.3, "normalizer": 0.5}, "slstm": {"hidden": 0.4}}
ZONED = {name: cells.zoneout(CELLS[name], **rates) for name, rates in RATES.items()}


def masks_of(name):
    return ZONED[name].draw_masks(jax.random.key(3), (T, B))


def numpy_run(name, arrays, keeps):
    """Run a paper's cell, and keep the share ``keeps [T, B, H]`` of each part of its state, in the state's order."""
    params, state, xs = arrays
    step, p = reference.CELLS[name][0], reference.papers_parameters(name, params)
    finals, outputs = [], np.zeros((T, B, H))
    for b in range(B):
        s = tuple(np.asarray(part, np.float64)[b] for part in state)
        for t in range(T):
            after, _ = step(p, np.asarray(xs)[t, b], s)
            s = tuple(keep[t, b] * old + (1 - keep[t, b]) * new for keep, old, new in zip(keeps, s, after, strict=True))
            outputs[t, b] = s[0]
        finals.append(s)
    return tuple(np.array(part) for part in zip(*finals, strict=True)), outputs


def keeps_of(name, masks):
    """The columns of masks, parts in the order of their names, as one array for each part in the state's order."""
    columns = dict(zip(sorted(RATES[name]), np.split(np.asarray(masks, np.float64), len(RATES[name]), -1), strict=True))
    return [columns[part] for part in CELLS[name].initial_state(())._fields]


@pytest.mark.parametrize("name", ZONED)
def test_both_forms_are_those_of_the_paper(name):
    params, state, xs = random_arrays(CELLS[name], name)
    masks = masks_of(name)
    assert 0 < masks.mean() < 1
    final, hs = run(ZONED[name].sampled, params, state, cells.add_masks(xs, masks))
    assert_close((tuple(final), hs), numpy_run(name, (params, state, xs), keeps_of(name, masks)))
    rates = [np.full((T, B, 1), RATES[name][part]) for part in state._fields]
    final, hs = run(ZONED[name], params, state, xs)
    assert_close((tuple(final), hs), numpy_run(name, (params, state, xs), rates))


@pytest.mark.parametrize("name", ZONED)
def test_gradients_are_central_differences_with_fixed_masks(name):
    arrays, weights, masks = random_arrays(CELLS[name], name), random_weights(CELLS[name], name), masks_of(name)
    arguments = (*arrays[:2], cells.add_masks(arrays[2], masks))
    _, gradients = run_both(ZONED[name].sampled, *arguments, weights, executor="scan")
    assert not np.asarray(gradients[2])[..., D:].any()  # masks have no gradient
    gradients = (*gradients[:2], gradients[2][..., :D])
    rng, keeps, step = np.random.default_rng(0), keeps_of(name, masks), 1e-5
    direction = jax.tree.map(lambda a: rng.standard_normal(a.shape), arrays)

    def loss(distance):
        moved = jax.tree.map(lambda a, d: np.asarray(a) + distance * d, arrays, direction)
        return float(dot((tuple(weights[0]), weights[1]), numpy_run(name, moved, keeps)))

    assert float(dot(gradients, direction)) == pytest.approx((loss(step) - loss(-step)) / (2 * step), rel=1e-7)
    if CELLS[name].splits:
        assert_close(run_both(ZONED[name].sampled, *arguments, weights, executor="structured")[1][:2], gradients[:2])


@pytest.mark.parametrize("name", RATES_OF_MATRICES)
def test_numbers_of_a_matrix_are_zoned_out_one_by_one(name):
    cell = cells.zoneout(CELLS[name], **RATES_OF_MATRICES[name])
    params, state, xs = random_arrays(CELLS[name], name)
    masks = cell.draw_masks(jax.random.key(3), (T, B))
    widths = [getattr(state, part)[0].size for part, _ in cell.rates]
    assert masks.shape == (T, B, sum(widths))
    z = cell.sampled.input_projection(params, cells.add_masks(xs, masks)[0])
    after = cell.sampled.step(params, state, z)
    plain = CELLS[name].step(params, state, CELLS[name].input_projection(params, xs[0]))
    expected = cell.step(params, state, cell.input_projection(params, xs[0]))
    columns = dict(zip(dict(cell.rates), np.split(np.asarray(masks[0]), np.cumsum(widths)[:-1], -1), strict=True))
    for part in state._fields:
        rate = dict(cell.rates).get(part, 0.0)
        before, new = np.asarray(getattr(state, part)), np.asarray(getattr(plain, part))
        kept = columns[part].reshape(before.shape) if rate else np.zeros(before.shape, bool)
        np.testing.assert_array_equal(getattr(after, part), np.where(kept, before, new))
        np.testing.assert_allclose(getattr(expected, part), rate * before + (1 - rate) * new, rtol=1e-13)
    found = run(cell.sampled, params, state, cells.add_masks(xs, masks), executor="structured")
    assert_close(found, run(cell.sampled, params, state, cells.add_masks(xs, masks), executor="scan"))


def test_rates_are_those_of_each_part_and_draws_do_not_depend_on_x64():
    cell = cells.zoneout(cells.lstm(H), **RATES["lstm"])
    masks = np.asarray(cell.draw_masks(jax.random.key(0), (2000, 4)))
    shares = masks.reshape(-1, 2, H).mean((0, 2))  # cell, hidden
    np.testing.assert_allclose(shares, [0.5, 0.25], atol=5 * 0.5 / np.sqrt(8000 * H))
    with jax.enable_x64(False):
        np.testing.assert_array_equal(cell.draw_masks(jax.random.key(0), (2000, 4)), masks)


def test_masks_are_exact_in_bfloat16():
    """Zoned units keep their float32 value to the bit."""
    cell = cells.zoneout(cells.lstm(H, dtype="bfloat16"), hidden=0.5)
    params, state, xs = random_arrays(cell, "bfloat16")
    masks = cell.draw_masks(jax.random.key(1), (T, B))
    _, hs = run(cell.sampled, params, state, cells.add_masks(xs, masks))
    before = jnp.concatenate([state.hidden[None], hs[:-1]])
    np.testing.assert_array_equal(np.asarray(hs)[masks], np.asarray(before)[masks])
    assert (np.asarray(hs)[~masks] != np.asarray(before)[~masks]).all()


def test_without_a_positive_rate_the_cell_is_as_before():
    cell = cells.zoneout(CELLS["gru"], hidden=0.0)
    arrays = random_arrays(CELLS["gru"], "gru")
    for each in (cell, cell.sampled):
        assert_close(run(each, *arrays, executor="scan"), run(CELLS["gru"], *arrays, executor="scan"), 0.0)


def test_impossible_zoneout_is_refused():
    lstm = CELLS["lstm"]
    for rates, said in (
        ({"memory": 0.1}, "no part 'memory' for zoneout: it has hidden, cell"),
        ({"hidden": 1.0}, "`hidden` must be at least 0 and below 1, not 1.0"),
        ({"cell": float("nan")}, "`cell` must be at least 0"),
    ):
        with pytest.raises(UserError, match=said):
            cells.zoneout(lstm, **rates)
    with pytest.raises(UserError, match="takes one layer, not a stack cell"):
        cells.zoneout(cells.stack(lstm, lstm), hidden=0.1)
    with pytest.raises(UserError, match="`input_size` must be above 10, the number of columns with masks"):
        ZONED["lstm"].sampled.init(jax.random.key(0), D)
