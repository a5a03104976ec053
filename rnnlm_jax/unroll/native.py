"""The executor for cells with a native kernel, on CPUs: all steps of time in one call."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.cell_facts import Kernel
from rnnlm_jax.cells.combinators import NO_INPUT
from rnnlm_jax.errors import DeviceError
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.kernels.operation import DATA_TYPES
from rnnlm_jax.unroll.control import Control


def why_not_native(cell: Cell, params: Tree, xs: Float[Array, "T *B D"], control: Control, platform: str) -> str | None:
    """Return why ``native`` cannot run something, as a ``WhyNotFn``; it runs all masks and resets."""
    del control
    if platform != "cpu":
        return f"its kernels are for the CPU, and this runs on {platform}"
    kernel = _kernel_of(cell, params, xs)
    return kernel if isinstance(kernel, str) else unavailable(DATA_TYPES[cell.spec.dtype.name])


def _kernel_of(cell: Cell, params: Tree, xs: Float[Array, "T *B D"]) -> Kernel | str:
    """Return the cell's kernel, or why it cannot run these arrays."""
    kernel = None if cell.gated_readout else cell.facts.kernel
    if kernel is None or not isinstance(params, kernel.params_type):
        return f"it runs cells that declare a kernel, and this {cell.spec.kind} cell does not"
    dtypes = {cell.spec.dtype, cell.spec.param_dtype, xs.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params))}
    if dtypes not in ({jnp.dtype("float32")}, {jnp.dtype("float64")}):
        return f"it computes in float32 or in float64 throughout, not in {', '.join(sorted(map(str, dtypes)))}"
    if 0 in xs.shape:
        return f"it cannot run empty arrays, and the inputs have shape {xs.shape}"
    return kernel


def native(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    *,
    reverse: bool = False,
    scan_unroll: int = 1,
) -> tuple[Tree, Float[Array, "T B H"]]:
    """Run a cell over time by its kernel, an ``ExecutorFn``.

    All derivatives and ``vmap`` work. The kernel does the loop forward and the loop backward, so that ``scan_unroll``
    has no effect. Where kernels cannot be compiled, XLA does the same.

    Raises:
        DeviceError: if the cell has no kernel or the kernel cannot run these arrays.
    """
    del scan_unroll
    kernel = _kernel_of(cell, params, xs)
    if isinstance(kernel, str):
        raise DeviceError(f"the native kernels cannot run this cell: {kernel}; use the scan executor")
    dtype = cell.spec.param_dtype

    def as_factors(flags: Bool[Array, "T B"] | None) -> Array:
        return jnp.zeros((0, 0), dtype) if flags is None else flags.astype(dtype)

    step_mask = as_factors(control.mask)
    keep_state = as_factors(None if control.resets is None else ~control.resets)
    final, states = kernel.run(params, state, xs, step_mask, keep_state, reverse=reverse)
    return final, cell.output(params, states, NO_INPUT)
