"""Memory of executors: parallel ones need that of one chunk of time, and a forward pass does not keep matrices."""

import functools

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.unroll import Associative, Newton

CASES = {"newton": (cells.gru(16), Newton), "associative": (cells.deltanet(8), Associative)}


@functools.cache
def gradient_bytes(executor, steps, chunk):
    """Temporary memory of a gradient, as the compiler counts it."""
    cell, make = CASES[executor]
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 4))
    xs = jax.ShapeDtypeStruct((steps, 2, 4), jnp.float32)

    def loss(params, xs):
        return unroll(cell, params, cell.initial_state((2,)), xs, executor=make(chunk=chunk))[1].sum()

    return jax.jit(jax.grad(loss)).lower(params, xs).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("executor", CASES)
def test_memory_grows_with_the_chunk_and_little_with_the_sequence(executor):
    in_chunks = gradient_bytes(executor, 1024, 64) - gradient_bytes(executor, 512, 64)
    at_once = gradient_bytes(executor, 1024, 1024) - gradient_bytes(executor, 512, 512)
    assert in_chunks < 0.15 * at_once
    longer_chunk = gradient_bytes(executor, 1024, 128) - gradient_bytes(executor, 1024, 64)
    assert 0.5 < longer_chunk / (at_once * 64 / 512) < 1.5


def forward_bytes(steps, output_size):
    """Temporary memory of a forward pass of a cell with a matrix for a state, as the compiler counts it."""
    cell = cells.deltanet(output_size)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 4))
    xs = jax.ShapeDtypeStruct((steps, 2, 4), jnp.float32)

    def outputs(params, xs):
        return unroll(cell, params, cell.initial_state((2,)), xs, executor="scan")

    return jax.jit(outputs).lower(params, xs).compile().memory_analysis().temp_size_in_bytes


def test_a_forward_pass_does_not_keep_states_that_are_matrices():
    steps, size = 400, 32
    states = steps * 2 * size * size * 4
    assert forward_bytes(2 * steps, size) - forward_bytes(steps, size) < 0.5 * states
