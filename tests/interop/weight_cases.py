"""Helpers of the tests of weights: cells for every row of the table, random arrays, equality to the bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, unroll
from rnnlm_jax.interop.weights import layout
from rnnlm_jax.interop.weights.layout import LayerPosition, Sizes

T, B, D, H, P = 4, 3, 2, 5, 3


def random_like(tree, seed=0):
    """Return a tree of random float32 arrays of the same shapes, so that no bias is zero."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(0.5 * rng.standard_normal(a.shape), jnp.float32), tree)


@functools.cache
def shapes(cell):
    """Return the shapes of a cell's parameters."""
    return jax.eval_shape(lambda: cell.init(jax.random.key(0), D))


def random_params(cell, seed=0):
    return random_like(shapes(cell), seed)


def inputs(seed=1):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((T, B, D)), jnp.float32)


def cell_of(row, **options):
    """Return the cell that a row of the table lays out."""
    options |= {name: values[0] for name, values in row.variant}
    if row.cell == "gru":
        options.setdefault("candidate_bias", bool(row.b_n or row.b_h))
    if row.cell == "lstm-projected":
        return cells.projected_lstm(H, P, **options)
    return {"elman": cells.elman, "lstm": cells.lstm, "gru": cells.gru}[row.cell](H, **options)


def their_arrays(row, seed=0, dtype=np.float32, biases=True, input_size=D):
    """Return random arrays of one layer, as a row names and shapes them."""
    rng = np.random.default_rng(seed)
    shapes = layout.shapes(row, LayerPosition(0, 0), Sizes(input_size, H, P if row.w_p else H), biases=biases)
    return {name: (0.5 * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}


def same_bits(ours, theirs):
    """Check that two trees have one structure and the same arrays, to the bit."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()


def outputs(cell, params, xs, state=None):
    """Return the final state and outputs of our cell."""
    return unroll(cell, params, cell.initial_state((xs.shape[1],)) if state is None else state, xs)


def assert_close(ours, theirs, tolerance=1e-5):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=tolerance)
