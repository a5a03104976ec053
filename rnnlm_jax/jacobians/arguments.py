"""What the functions of this package take as arrays: lists, NumPy's and jax's, of any real type."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll.unroll import check_state


def real_array(value: Any, name: str) -> Array | np.ndarray:
    """An array of real numbers as it is; what is not one of jax's becomes one of NumPy's.

    NumPy's whole numbers become float64 before jax, with x64 switched off, could cut them to 32 bits.

    Raises:
        UserError: for complex numbers, for what is not numbers, and for lists of lists of different lengths.
    """
    if not isinstance(value, jax.Array):
        value = _numpy_array(value, name)
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise UserError(f"{name} must be real, not {value.dtype}: complex Jacobians are not supported")
    if not (jnp.issubdtype(value.dtype, jnp.number) or value.dtype == bool):
        raise UserError(f"{name} must be numbers, not of type {value.dtype}")
    return value


def on_host(value: Tree, what: str) -> Tree:
    """``value`` itself, if its numbers are known: what is computed in NumPy cannot be traced.

    Raises:
        UserError: under jit, vmap, grad or scan.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        raise UserError(f"{what} on the host, in NumPy: call this outside of jit, vmap, grad and scan")
    return value


def square_matrices(value: Any) -> Array | np.ndarray:
    """Real matrices ``[T, n, n]``.

    Raises:
        UserError: for any other shape, see also ``real_array``.
    """
    matrices = real_array(value, "matrices")
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
        raise UserError(
            f"expected square matrices [T, n, n], not an array of shape {matrices.shape}{_batches(matrices)}"
        )
    if matrices.shape[1] == 0:
        raise UserError(f"expected square matrices [T, n, n] with n at least 1, not an array of shape {matrices.shape}")
    return matrices


def inputs_over_time(cell: Cell, state: Tree, xs: Any, batched: bool) -> Float[Array, "T *B D"]:
    """Inputs ``xs`` of a cell, checked together with the state before them; what is not floating is made so.

    Args:
        cell: the cell that reads them.
        state: s_0.
        xs: ``[T, D]``, or ``[T, *B, D]`` where ``batched``.
        batched: whether batch axes are allowed.

    Raises:
        UserError: if the axes are wrong, or the state does not fit the cell and the inputs.
    """
    xs = real_array(xs, "inputs")
    if batched and xs.ndim < 2:
        raise UserError(f"inputs are [T, *B, D], at least time and features, not of shape {xs.shape}")
    if not batched and xs.ndim != 2:
        raise UserError(f"inputs are one sequence [T, D], not of shape {xs.shape}: vmap over batch axes")
    check_state(cell, state, xs.shape[1:-1])
    return floating(xs, cell.spec.param_dtype)


def check_factored(cell: Cell) -> None:
    """Check that Jacobians of a cell's type can be factored by the linear algebra of all platforms.

    Raises:
        UserError: for a cell whose state has 16 bits.
    """
    if jnp.finfo(cell.spec.param_dtype).bits < 32:
        raise UserError(
            f"a cell with a state in {cell.spec.param_dtype} is too coarse for this: make it with param_dtype float32, "
            "its products may stay in the narrow dtype"
        )


def one_input(cell: Cell, x: Any) -> Float[Array, " D"]:
    """One input of a cell.

    Raises:
        UserError: unless it is a vector of real numbers.
    """
    x = real_array(x, "the input")
    if x.ndim != 1:
        raise UserError(f"the input is one vector [D], not of shape {x.shape}: vmap over other axes")
    return floating(x, cell.spec.param_dtype)


def check_start_states(cell: Cell, states: Tree) -> Tree:
    """``states`` themselves, parts ``[P, ·]``, as jax arrays.

    Raises:
        UserError: if they are not P states of this cell.
    """
    leaves = jax.tree.leaves(states)
    count = jnp.shape(leaves[0])[:1] if leaves else ()
    if len(count) != 1:
        raise UserError("states to start from have parts [P, ·]: one state is cell.initial_state((1,))")
    check_state(cell, states, count)
    return jax.tree.map(jnp.asarray, states)


def floating(array: Array | np.ndarray, otherwise: Any) -> Array:
    """A jax array in its own type if that is floating, else in another."""
    dtype = array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else otherwise
    return jnp.asarray(array, jax.dtypes.canonicalize_dtype(dtype))


def result_dtype(dtype: Any) -> np.dtype:
    """The type of results: that of the input if it is floating and has 32 bits or more.

    Logarithms of narrower ones need float32 (float16 ends at 65504 nats, bfloat16 has 8 bits); whole numbers and
    booleans give jax's default, float64 where x64 is on.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = np.float64
    elif jnp.finfo(dtype).bits < 32:
        dtype = np.float32
    return jax.dtypes.canonicalize_dtype(dtype)


def _numpy_array(value: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biuO":
            return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} must be an array of numbers: {error}") from error
    return array.astype(np.float64) if array.dtype == np.longdouble else array


def _batches(matrices: Array | np.ndarray) -> str:
    return ": vmap over batch axes" if matrices.ndim > 3 else ""
