"""What rematerialisation is for: the compiler's own count of the memory that a gradient needs."""

import functools

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.unroll.remat import chunk_length

BATCH, HIDDEN = 8, 16
CELLS = {
    "lstm": cells.lstm(HIDDEN),
    "gru-reset-before": cells.gru(HIDDEN, reset="before"),
    "stack": cells.stack(cells.lstm(HIDDEN), cells.gru(HIDDEN)),
}


@functools.cache
def gradient_bytes(name, steps, remat_chunk, reverse=False):
    """Temporary memory of a gradient that needs only residuals: no output is read, inputs are one feature wide."""
    cell = CELLS[name]
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 1))
    xs = jax.ShapeDtypeStruct((steps, BATCH, 1), jnp.float32)

    def loss(params, xs):
        final, _ = unroll(cell, params, cell.initial_state((BATCH,)), xs, remat_chunk=remat_chunk, reverse=reverse)
        return sum(leaf.sum() for leaf in jax.tree.leaves(final))

    return jax.jit(jax.grad(loss)).lower(params, xs).compile().memory_analysis().temp_size_in_bytes


SHORT, LONG = 1024, 16384


@pytest.mark.parametrize(("name", "reverse"), [("lstm", False), ("gru-reset-before", True)])
def test_chunks_save_memory(name, reverse):
    assert gradient_bytes(name, LONG, "sqrt", reverse) < 0.05 * gradient_bytes(name, LONG, None, reverse)


def test_a_stack_keeps_only_what_passes_between_layers():
    """The outputs of each layer but the last are the inputs of the next, and grow with T."""
    assert gradient_bytes("stack", LONG, "sqrt") < 0.2 * gradient_bytes("stack", LONG, None)


def test_residuals_grow_with_the_square_root_of_time():
    """Sixteen times the steps: sixteen times the memory without chunks, about four times with them."""
    assert 14 < gradient_bytes("lstm", LONG, None) / gradient_bytes("lstm", SHORT, None) < 18
    assert 2 < gradient_bytes("lstm", LONG, "sqrt") / gradient_bytes("lstm", SHORT, "sqrt") < 6


@pytest.mark.parametrize(
    ("steps", "chunk"), [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (8, 3), (9, 3), (10, 4), (10**6, 1000)]
)
def test_sqrt_is_rounded_up(steps, chunk):
    assert chunk_length(steps, "sqrt") == chunk
