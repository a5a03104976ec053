"""Stacks, residual and summed stacks and bidirectional pairs against their parts run one by one."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.errors import ArgumentError
from tests.unroll.programs import CELLS, B, D, T, assert_close, make, random_arrays, run, run_with_gradients, walk

LENGTHS = jnp.array([T, 5, 0, 1], jnp.int32)


@pytest.mark.parametrize("name", ["stack", "residual-stack", "summed-stack"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_stack_is_its_layers_one_after_the_other(name, reverse):
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    finals, outputs, below = [], [], xs
    for k, layer in enumerate(cell.layers):
        final, hs = run(layer, params[k], state[k], below, lengths=LENGTHS, reverse=reverse)
        finals.append(final)
        below = hs + below if name == "residual-stack" and k > 0 else hs
        outputs.append(hs)
    wanted = sum(outputs[1:], outputs[0]) if name == "summed-stack" else below
    assert_close(run(cell, params, state, xs, lengths=LENGTHS, reverse=reverse), (tuple(finals), wanted), 1e-14)


@pytest.mark.parametrize("name", ["stack", "residual-stack", "summed-stack"])
def test_a_stack_steps_as_one(name):
    """Layer by layer over time, or time by time over layers: the same."""
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name, batch=())
    states, hs = walk(cell, params, state, xs)
    assert_close(run(cell, params, state, xs), (states[-1], hs))


def test_residual_adds_from_the_second_layer_on():
    layer = make("elman-tanh")
    plain, residual = cells.stack(layer, layer), cells.stack(layer, layer, residual=True)
    assert plain is not residual
    params, state, xs = random_arrays(plain)
    _, lower = run(layer, params[0], state[0], xs)
    assert_close(run(residual, params, state, xs)[1] - lower, run(plain, params, state, xs)[1])


def test_layers_that_are_added_have_one_size_and_one_way():
    wide = cells.elman(6, param_dtype="float64")
    for option, said in (("residual", "residual layers"), ("sum_outputs", "summed layers")):
        with pytest.raises(ArgumentError, match=f"{said} must have one output size, not .*leave `{option}` out"):
            cells.stack(make("elman-tanh"), wide, **{option: True})
    with pytest.raises(ArgumentError, match="`residual` and `sum_outputs` are two ways"):
        cells.stack(wide, wide, residual=True, sum_outputs=True)


def test_stacks_nest():
    parts = [make("elman-tanh"), make("gru"), make("lstm")]
    flat = cells.stack(*parts)
    nested = cells.stack(cells.stack(*parts[:2]), parts[2])
    params, state, xs = random_arrays(flat)
    regroup = lambda tree: ((tree[0], tree[1]), tree[2])  # noqa: E731
    final, hs = run(flat, params, state, xs, lengths=LENGTHS)
    assert_close(run(nested, regroup(params), regroup(state), xs, lengths=LENGTHS), (regroup(final), hs), 1e-14)
    assert_close(walk(nested, *random_arrays(nested, batch=()))[1], run(nested, *random_arrays(nested, batch=()))[1])


@pytest.mark.parametrize("reverse", [False, True])
def test_bidirectional_is_two_runs_side_by_side(reverse):
    pair = cells.bidirectional(make("lstm"), make("gru"))
    params, state, xs = random_arrays(pair)
    assert pair.spec.output_size == pair.spec.hidden_size == 10
    final, hs = run(pair, params, state, xs, lengths=LENGTHS, reverse=reverse)
    ahead, ahead_hs = run(pair.forward, params.forward, state.forward, xs, lengths=LENGTHS, reverse=reverse)
    back, back_hs = run(pair.backward, params.backward, state.backward, xs, lengths=LENGTHS, reverse=not reverse)
    assert_close((final, hs), (cells.Directions(ahead, back), np.concatenate([ahead_hs, back_hs], -1)), 1e-14)


def test_the_backward_direction_starts_at_the_end_of_each_sequence():
    """Lengths, not T: what a sequence's padding would have put into the state is never seen."""
    pair = cells.bidirectional(make("gru"), make("gru"))
    params, state, xs = random_arrays(pair)
    length = int(LENGTHS[1])
    final, hs = run(pair, params, state, xs, lengths=LENGTHS)
    alone = cells.Directions(*(type(s)(*(part[1] for part in s)) for s in state))
    alone_final, alone_hs = run(pair, params, alone, xs[:length, 1])
    assert_close(hs[:length, 1], alone_hs)
    assert_close(final.backward.hidden[1], alone_final.backward.hidden)


def test_chunks_of_a_bidirectional_stack():
    pair = cells.bidirectional(make("lstm"), make("gru"))
    cell = cells.stack(pair, make("elman-tanh"))
    params, state, xs = random_arrays(cell)
    weights = (state, xs[:, :, :1] * jnp.ones((1, 1, 5)))
    actual = run_with_gradients(cell, params, state, xs, weights, lengths=LENGTHS, remat_chunk="sqrt")
    assert_close(actual, run_with_gradients(cell, params, state, xs, weights, lengths=LENGTHS))


def layers_seen(cell):
    """The layer numbers and input sizes that ``layer_input`` is called with."""
    seen = []

    def layer_input(layer, xs):
        assert xs.shape[:2] == (T, B)
        seen.append((layer, xs.shape[-1]))
        return xs

    unroll(cell, *random_arrays(cell), layer_input=layer_input)
    return seen


def test_layer_input_is_called_once_for_each_layer():
    a = make("elman-tanh")
    pair = cells.bidirectional(a, a)
    assert layers_seen(a) == [(0, D)]
    assert layers_seen(cells.stack(a, a, a)) == [(0, D), (1, 5), (2, 5)]
    assert layers_seen(cells.stack(pair, a)) == [(0, D), (0, D), (1, 10)]
    assert layers_seen(cells.stack(cells.stack(a, a), a)) == [(0, D), (1, 5), (2, 5)]  # no number twice
    assert layers_seen(cells.stack(cells.bidirectional(cells.stack(a, a), a), a)) == [(0, D), (1, 5), (0, D), (2, 10)]


@pytest.mark.parametrize("remat_chunk", [None, 3])
def test_layer_input_changes_what_a_layer_reads(remat_chunk):
    cell = cells.stack(make("gru"), make("gru"))
    params, state, xs = random_arrays(cell)
    doubled = lambda layer, xs: 2.0 * xs if layer == 1 else xs  # noqa: E731
    actual = unroll(cell, params, state, xs, layer_input=doubled, remat_chunk=remat_chunk)
    params = (params[0], params[1]._replace(w_x=2.0 * params[1].w_x))
    assert_close(actual, run(cell, params, state, xs))
