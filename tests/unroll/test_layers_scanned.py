"""Many equal layers run as one loop over layers: the numbers are those of the layers one by one."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.unroll.equal_layers import runs_of_layers
from tests.training.tiny import random_params
from tests.unroll.programs import B, D, H, T, assert_close, dot, make, random_arrays, random_weights

RUNNER = importlib.import_module("rnnlm_jax.unroll.unroll")
LENGTHS = jnp.array([T, 5, 0, 1], jnp.int32)


def dropped(layer, xs):
    """Dropout as language models do it: a key for each layer."""
    keep = jax.random.bernoulli(jax.random.fold_in(jax.random.key(7), layer), 0.5, xs.shape)
    return jnp.where(keep, 2.0 * xs, 0.0)


def by_number(layer, xs):
    """It must know which layer it is."""
    return 3.0 * xs if layer == 2 else xs


def result_and_loops(function, *arguments):
    """What a function gives, traced once, and the number of loops in its program."""
    traced = jax.jit(function).trace(*arguments)
    return traced.lower().compile()(*arguments), str(traced.jaxpr).count("scan[")


@pytest.fixture
def both(monkeypatch):
    """Outputs and gradients of a stack, its layers one by one and as a loop, and how many scans each program has."""

    def run(cell, **options):
        params, state, xs = random_arrays(cell)
        weights = random_weights(cell)

        def found(fewest):
            monkeypatch.setattr(RUNNER, "FEWEST_LOOPED", fewest)

            def loss(params, state, xs):
                outputs = unroll(cell, params, state, xs, executor="scan", **options)
                return dot(weights, outputs), outputs

            return result_and_loops(jax.grad(loss, argnums=(0, 1, 2), has_aux=True), params, state, xs)

        return found(1000), found(3)

    return run


@pytest.mark.parametrize(
    ("added", "reverse", "remat_chunk", "layer_input"),
    [({}, True, None, None), ({"residual": True}, False, 3, dropped), ({"sum_outputs": True}, False, None, dropped)],
)
def test_the_loop_is_the_layers_one_by_one(both, added, reverse, remat_chunk, layer_input):
    """Another cell below, and one above; the equal ones in between are one loop."""
    middle = [make("gru")] * 3
    cell = cells.stack(make("lstm"), *middle, make("elman-tanh"), **added)
    options = {"reverse": reverse, "remat_chunk": remat_chunk, "layer_input": layer_input, "lengths": LENGTHS}
    (wanted, one_by_one), (found, looped) = both(cell, **options)
    assert_close(found, wanted)
    assert looped < one_by_one


def test_a_function_that_needs_the_layer_index_gets_it(both):
    (wanted, one_by_one), (found, looped) = both(cells.stack(*[make("elman-tanh")] * 5), layer_input=by_number)
    assert_close(found, wanted, 0.0)
    assert looped == one_by_one


def test_where_runs_are_cut():
    a, b = make("elman-tanh"), make("gru")
    cell = cells.stack(a, a, a, b, b, cells.stack(a, a), cells.stack(a, a), a, a)
    params, state, _ = random_arrays(cell)
    assert runs_of_layers(cell, params, state) == [[0], [1, 2], [3, 4], [5], [6], [7, 8]]
    narrow = make("lstm-projected")  # its first layer above another has another input size
    assert narrow.spec.output_size != H
    cell = cells.stack(a, narrow, narrow, narrow)
    params, state, _ = random_arrays(cell)
    assert runs_of_layers(cell, params, state) == [[0], [1], [2, 3]]


def test_a_language_model_draws_the_same_dropout(monkeypatch):
    cell, dropout = cells.stack(*[make("elman-tanh")] * 5), Dropout(input=0.2, hidden=0.5)
    model = language_model(cell, vocab_size=7, embedding_size=D, dropout=dropout, executor="scan")
    params = random_params(model)
    inputs = np.arange(T * B).reshape(T, B) % 7

    def hidden(fewest):
        monkeypatch.setattr(RUNNER, "FEWEST_LOOPED", fewest)
        run = functools.partial(model.hidden, params, model.initial_state((B,)), inputs)
        return result_and_loops(run, jax.random.key(1))

    (wanted, one_by_one), (found, looped) = hidden(1000), hidden(3)
    assert_close(found, wanted)
    assert looped < one_by_one
