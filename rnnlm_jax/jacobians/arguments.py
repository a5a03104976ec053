"""Conversion and checks of arguments: lists, NumPy's and jax's arrays of any real dtype."""

import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.unroll.unroll import check_state


def real_array(value: ArrayLike, name: str) -> Array | np.ndarray:
    """Return real numbers as an array: jax's arrays as they are, anything else as a NumPy array.

    NumPy's integers become float64, since jax would cut them to 32 bits where x64 is off.

    Raises:
        ArgumentError: for complex numbers, for values that are not numbers, and for ragged lists.
    """
    if not isinstance(value, jax.Array):
        value = _numpy_array(value, name)
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise ArgumentError(f"`{name}` must be real, not {value.dtype}: complex Jacobians are not supported")
    if not (jnp.issubdtype(value.dtype, jnp.number) or value.dtype == bool):
        raise ArgumentError(f"`{name}` must be numbers, not of type {value.dtype}")
    return value


def on_host(value: Tree, what: str) -> Tree:
    """Return ``value`` after checking that jax does not trace it, for computations in NumPy.

    Args:
        value: a tree of arrays.
        what: what is computed, with its verb, for the message: "eigenvalues are computed".

    Raises:
        ArgumentError: under jit, vmap, grad or scan.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        raise ArgumentError(f"{what} on the host, in NumPy: call this outside of jit, vmap, grad and scan")
    return value


def square_matrices(matrices: ArrayLike) -> Array | np.ndarray:
    """Return real matrices ``[T, n, n]`` as an array (see ``real_array``).

    Raises:
        ArgumentError: for any other shape.
    """
    matrices = real_array(matrices, "matrices")
    expected = f"`matrices` must be square, [T, n, n], not of shape {matrices.shape}"
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
        raise ArgumentError(f"{expected}: vmap over batch axes" if matrices.ndim > 3 else expected)
    if matrices.shape[1] == 0:
        raise ArgumentError(f"{expected}: n must be at least 1")
    return matrices


def ascending_lags(lags: Sequence[int], count: int, of: str) -> tuple[int, ...]:
    """Return the lags in ascending order without duplicates.

    Args:
        lags: lags.
        count: the largest lag.
        of: what is counted, for the message: "steps of the inputs".

    Raises:
        ArgumentError: if a lag is not an integer from 1 to ``count``.
    """
    try:
        ascending = tuple(sorted({operator.index(lag) for lag in lags}))
    except TypeError:
        raise ArgumentError(f"`lags` must be whole numbers, not {lags!r}") from None
    if not ascending or ascending[0] < 1 or ascending[-1] > count:
        raise ArgumentError(f"`lags` must lie between 1 and the {count} {of}, not {list(lags)}")
    return ascending


def inputs_over_time(cell: Cell, state: Tree, xs: ArrayLike, *, batched: bool) -> Float[Array, "T *B D"]:
    """Return the inputs of a cell as a floating-point array, after checking them and the state before them.

    Args:
        cell: the cell.
        state: s_0.
        xs: ``[T, D]``, or ``[T, *B, D]`` if ``batched``.
        batched: whether batch axes are allowed.

    Raises:
        ArgumentError: if the axes are wrong, or the state does not fit the cell and the inputs.
    """
    xs = real_array(xs, "xs")
    if batched and xs.ndim < 2:
        raise ArgumentError(f"`xs` must be inputs [T, *B, D] with at least time and features, not of shape {xs.shape}")
    if not batched and xs.ndim != 2:
        raise ArgumentError(f"`xs` must be one sequence [T, D], not of shape {xs.shape}: vmap over batch axes")
    check_state(cell, state, xs.shape[1:-1])
    return floating(xs, cell.spec.param_dtype)


def check_at_least_32_bits(cell: Cell) -> None:
    """Check that jax's linear algebra takes the cell's dtype on all platforms.

    Raises:
        ArgumentError: for a cell whose state has 16 bits.
    """
    if jnp.finfo(cell.spec.param_dtype).bits < 32:
        raise ArgumentError(
            f"`cell` has a state in {cell.spec.param_dtype}, which is too coarse for this: make it with `param_dtype` "
            "float32; its products may stay in the narrow dtype"
        )


def one_input(cell: Cell, x: ArrayLike) -> Float[Array, " D"]:
    """Return one input of a cell as a floating-point vector.

    Raises:
        ArgumentError: unless it is a vector of real numbers.
    """
    x = real_array(x, "x")
    if x.ndim != 1:
        raise ArgumentError(f"the input must be one vector [D], not of shape {x.shape}: vmap over other axes")
    return floating(x, cell.spec.param_dtype)


def check_state_batch(cell: Cell, states: Tree) -> Tree:
    """Return P states of a cell, leaves ``[P, ·]``, as jax arrays.

    Raises:
        ArgumentError: if they are not states of this cell with one batch axis.
    """
    leaves = jax.tree.leaves(states)
    count = jnp.shape(leaves[0])[:1] if leaves else ()
    if len(count) != 1:
        raise ArgumentError("states must have leaves [P, ·] with one batch axis; for one, cell.initial_state((1,))")
    check_state(cell, states, count)
    return jax.tree.map(jnp.asarray, states)


def inputs_of_states(cell: Cell, x: ArrayLike, states: Tree) -> Float[Array, "P D"]:
    """Return an input for each of P states (see ``check_state_batch``), from one for all or one for each.

    Raises:
        ArgumentError: unless it is ``[D]`` or ``[P, D]``, of real numbers.
    """
    x = real_array(x, "x")
    count = jax.tree.leaves(states)[0].shape[0]
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] != count):
        raise ArgumentError(f"the input must be one vector [D], or one for each of the {count} states, not {x.shape}")
    x = floating(x, cell.spec.param_dtype)
    return jnp.broadcast_to(x, (count, x.shape[-1]))


def floating(array: Array | np.ndarray, default: DTypeLike) -> Array:
    """Return a jax array in its own dtype if that is floating, else in the dtype ``default``."""
    dtype = array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else default
    return jnp.asarray(array, jax.dtypes.canonicalize_dtype(dtype))


def result_dtype(dtype: DTypeLike) -> np.dtype:
    """Return the dtype of results: that of the input if it is floating with 32 bits or more.

    Logarithms of narrower ones need float32 (float16 ends at 65504 nats, bfloat16 has 8 bits). Integers and booleans
    give jax's default, float64 where x64 is on.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = np.float64
    elif jnp.finfo(dtype).bits < 32:
        dtype = np.float32
    return jax.dtypes.canonicalize_dtype(dtype)


def _numpy_array(value: ArrayLike, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biuO":
            return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"`{name}` must be an array of numbers: {error}") from error
    return array.astype(np.float64) if array.dtype == np.longdouble else array
