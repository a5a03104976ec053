"""Flax's own ``RNN`` of our cells is ``unroll``, and so is what stands in its place: linen and nnx side by side."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.interop import linen
from rnnlm_jax.interop import nnx as ours_nnx
from tests.unroll.programs import ZOO, B, D, H, T, assert_close, dot, make, random_arrays, random_weights

LENGTHS = np.array([T, 3, 1, 5], np.int32)  # none is zero: Flax has no answer to that
VALID = (np.arange(T) < LENGTHS[:, None])[..., None]  # [B, T, 1]


def rnn_of(kind, cell, params, **options):
    """Flax's ``RNN`` over our cell with these parameters, as a function of the inputs and the call's options."""
    if kind == "linen":
        return lambda xs, **call: nn.RNN(linen.LinenCell(cell), **options).apply(
            linen.to_linen(params, "cell"), xs, **call
        )
    return nnx.RNN(ours_nnx.NnxCell.from_params(cell, params), **options)


def ours_of(kind, cell, params, **options):
    """What stands in its place."""
    if kind == "linen":
        return lambda xs, **call: linen.LinenRNN(cell, **options).apply(linen.to_linen(params, "cell"), xs, **call)
    return ours_nnx.NnxRNN(ours_nnx.NnxCell.from_params(cell, params), **options)


def arrays_of(name):
    """A float32 cell, its random parameters, a state, and inputs ``[B, T, D]``."""
    cell = make(name, param_dtype="float32")
    params, state, xs = random_arrays(cell, name)
    return cell, params, state, xs.swapaxes(0, 1)


def backwards(hs):
    """The leading steps of each sequence, last one first; the rest zeros."""
    turned = np.zeros_like(hs)
    for b, length in enumerate(LENGTHS):
        turned[b, :length] = hs[b, :length][::-1]
    return turned


def gradients(run, weights):
    """Of a run ``(params, state, xs) -> (state, hs)``, with what it gives, under jit."""

    def loss(params, state, xs):
        found = run(params, state, xs)
        return dot(weights, found), found

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))


@pytest.mark.parametrize("name", (*ZOO, "stack"))
def test_rnn_of_every_cell_is_unroll(name):
    cell, params, state, xs = arrays_of(name)
    state_weights, hs_weights = random_weights(cell, name)
    weights = (state_weights, hs_weights.swapaxes(0, 1))

    def ours(params, state, xs):
        last, hs = unroll(cell, params, state, xs.swapaxes(0, 1), lengths=LENGTHS)
        return last, hs.swapaxes(0, 1)

    def theirs(kind):
        def run(params, state, xs):
            rnn = rnn_of(kind, cell, params, return_carry=True)
            last, hs = rnn(xs, initial_carry=state, seq_lengths=LENGTHS)
            return last, hs * VALID.astype(np.float32)

        return run

    expected_gradients, expected = gradients(ours, weights)(params, state, xs)
    found_gradients, found = gradients(theirs("linen"), weights)(params, state, xs)
    assert_same(found, expected)
    assert_close(found_gradients, expected_gradients, 1e-5)
    assert_same(jax.jit(theirs("nnx"))(params, state, xs), expected)


def assert_same(found, expected):
    """To 1e-6, and as much of each number: float32 has steps of 5e-7 at 5."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reverse,keep_order", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_ours_takes_the_calls_of_rnn(kind, reverse, keep_order):
    cell, params, state, xs = arrays_of("lstm")
    how = {"reverse": reverse, "keep_order": keep_order, "return_carry": True}
    rnn, ours = rnn_of(kind, cell, params, **how), ours_of(kind, cell, params, **how)
    for call in ({}, {"initial_carry": state, "seq_lengths": LENGTHS}):
        valid = VALID if "seq_lengths" in call else True
        (last, hs), (expected_last, expected) = ours(xs, **call), rnn(xs, **call)
        np.testing.assert_allclose(hs, np.where(valid, expected, 0), rtol=0, atol=1e-6)
        assert_close(last, expected_last, 2e-6)
        time_first = ours(xs.swapaxes(0, 1), time_major=True, return_carry=False, **call)
        np.testing.assert_array_equal(time_first, hs.swapaxes(0, 1))
    if reverse and not keep_order:  # the last of the calls, whose outputs are in the order in which they came about
        np.testing.assert_array_equal(backwards(np.asarray(hs)), ours(xs, **call, keep_order=True)[1])


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_masks_resets_and_any_batch_axes(kind):
    cell, params, state, xs = arrays_of("gru")
    mask, resets = np.random.default_rng(0).random((2, B, T)) < 0.7
    expected_last, expected = unroll(cell, params, state, xs.swapaxes(0, 1), mask=mask.T, resets=resets.T)
    ours = ours_of(kind, cell, params, return_carry=True, remat_chunk="sqrt", executor="scan")
    last, hs = ours(xs, initial_carry=state, mask=mask, resets=resets)
    np.testing.assert_allclose(hs.swapaxes(0, 1), expected, rtol=0, atol=1e-6)
    assert_close(last, expected_last, 1e-6)
    square = jax.tree.map(lambda a: a.reshape(2, 2, *a.shape[1:]), (xs, state, mask, resets))
    _, squared = ours(square[0], initial_carry=square[1], mask=square[2], resets=square[3])
    np.testing.assert_allclose(squared.reshape(hs.shape), hs, rtol=0, atol=1e-6)
    _, alone = ours(xs[0], initial_carry=jax.tree.map(lambda a: a[0], state), mask=mask[0], resets=resets[0])
    np.testing.assert_allclose(alone, hs[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_after_the_end_outputs_are_zero_and_no_length_is_no_step(kind):
    cell, params, state, xs = arrays_of("lstm")
    lengths = np.array([T, 3, 0, T + 2])  # beyond the last step counts as all
    last, hs = ours_of(kind, cell, params, return_carry=True)(xs, initial_carry=state, seq_lengths=lengths)
    assert not np.asarray(hs[1, 3:]).any()
    assert not np.asarray(hs[2]).any()
    assert np.asarray(hs[3]).all()
    np.testing.assert_array_equal(last.cell[2], state.cell[2])


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_bidirectional_cells_and_flax_bidirectional(kind):
    cell = cells.bidirectional(*(make(name, param_dtype="float32") for name in ("lstm", "gru")))
    params, state, xs = random_arrays(cell, "bidirectional")
    (expected_last, expected), xs = unroll(cell, params, state, xs, lengths=LENGTHS), xs.swapaxes(0, 1)
    last, hs = ours_of(kind, cell, params, return_carry=True)(xs, initial_carry=state, seq_lengths=LENGTHS)
    np.testing.assert_allclose(hs.swapaxes(0, 1), expected, rtol=0, atol=1e-6)
    assert_close(last, expected_last, 1e-6)
    if kind == "linen":
        pair = nn.Bidirectional(linen.LinenRNN(cell.forward), linen.LinenRNN(cell.backward))
        halves = {"forward_rnn": params.forward, "backward_rnn": params.backward}
        variables = {k: linen.to_linen(p, "cell")["params"] for k, p in halves.items()}
        theirs = pair.apply({"params": variables}, xs, initial_carry=tuple(state), seq_lengths=LENGTHS)
    else:
        halves = (ours_of(kind, cell.forward, params.forward), ours_of(kind, cell.backward, params.backward))
        theirs = nnx.Bidirectional(*halves)(xs, initial_carry=tuple(state), seq_lengths=LENGTHS)
    np.testing.assert_allclose(theirs, hs, rtol=0, atol=1e-6)
    with pytest.raises(UserError, match=r"cannot step it: use (Linen|Nnx)RNN"):
        rnn_of(kind, cell, params)(xs)


@pytest.mark.parametrize("kind", ["linen", "nnx"])
@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ({"xs": np.ones((B, T, D + 1), np.float32)}, f"{D + 1} features|asks for \\({D + 1}, "),
        ({"xs": np.ones(T, np.float32)}, "time, features"),
        ({"xs": np.ones((B, T, D), np.int32)}, "embed tokens first"),
        ({"seq_lengths": np.ones(B + 1, np.int32)}, rf"seq_lengths has shape \({B + 1},\)"),
        ({"seq_lengths": np.ones(B)}, "whole numbers"),
        ({"mask": np.ones((T, B), bool)}, rf"`mask` has shape \({T}, {B}\), but the inputs need \({B}, {T}\)"),
        ({"resets": np.ones(B, bool)}, "resets has shape"),
        ({"initial_carry": (np.zeros((B, H)), np.zeros((B, H)))}, "not a state of this lstm cell"),
        ({"initial_carry": cells.lstm(H + 1).initial_state((B,))}, "does not fit these inputs"),
    ],
)
def test_calls_that_cannot_be_say_so(kind, call, complaint):
    cell, params, _, xs = arrays_of("lstm")
    call = {"xs": xs, **call}
    inputs = call.pop("xs")
    with pytest.raises(UserError, match=complaint):
        ours_of(kind, cell, params)(inputs, **call)
    if "initial_carry" in call or inputs.ndim == 3 and not call:  # the rest are arguments of ours, or checked by Flax
        with pytest.raises(UserError, match=complaint):
            rnn_of(kind, cell, params)(inputs, **call)
