"""``log|det J_t|`` of step Jacobians, exactly, and for most cells without a matrix.

A cell declares its closed form, ``facts.log_determinant``, or the structure of its Jacobian, whose blocks are factored
one by one. A stack's Jacobian is block triangular by layers.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell, state_size
from rnnlm_jax.cells.combinators import Passed, Stack
from rnnlm_jax.cells.state_jacobian import (
    autodiff_jacobian,
    jacobian_blocks,
    recurrent_projection_matrix,
    structured_jacobian,
)
from rnnlm_jax.jacobians.arguments import floating, real_array, result_dtype
from rnnlm_jax.jacobians.arithmetic.log_abs_det import log_abs_det
from rnnlm_jax.jacobians.certificate.null_directions import nonzero_entries
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.declared_blocks import declared_blocks


class StepDeterminant(NamedTuple):
    """``log|det J_t|`` in nats, and the number of null directions of ``J_t`` that the closed form shows."""

    log_abs_det: Float[Array, "*B"]
    null: Int[Array, "*B"]


class LogSlopes(NamedTuple):
    """Logarithms of the entries of diagonal step Jacobians, one for each number of the state in the order of blocks."""

    logs: Float[Array, "*B n"]
    """``ln|entry|`` in nats, with derivative 0 where it is -inf or unresolved."""
    zero: Bool[Array, "*B n"]
    """Whether the entry is zero."""
    unresolved: Bool[Array, "*B n"]
    """Whether the entry is below the smallest normal number of its dtype, whose logarithm stands in its place."""


def has_closed_form(cell: Cell) -> bool:
    """Return whether ``step_log_abs_det`` needs O(H) operations a step for a cell, or for each layer of a stack."""
    if isinstance(cell, Stack):
        return all(map(has_closed_form, cell.layers))
    if cell.facts.log_determinant is not None:
        return True
    blocks = declared_blocks(cell)
    return blocks is not None and blocks.size == 1


def step_log_abs_det(cell: Cell, params: Tree, states_before: Tree, zs: Float[Array, "*B GH"]) -> Float[Array, "*B"]:
    """Return ``log|det ∂s_t/∂s_{t-1}|`` in nats, of the full state, for any number of steps at once.

    With pre-activations a and the recurrent block U, factored once a call,

        Elman:  Σ ln|φ'(a)| + ln|det U|
        LSTM:   Σ ln f + Σ ln|tanh c'| + Σ ln o(1 - o) + ln|det U_o|

    and for other LSTMs ``∂c'/∂c`` in place of f (1 without a forget gate; with peepholes the slope through them too)
    and ``W_p U_o``, of rank P, for a projection: -inf if P < H. Sums are of logarithms, so that no gate saturates and
    no product underflows. Without a closed form it is the sum over the N blocks of m numbers that a cell declares,
    O(N m³) a step (of logarithms, for a diagonal Jacobian). Other cells form each step's matrix and factor it, O(n³).

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        states_before: the states ``s_{t-1}``, ``[*B, ·]``: any leading axes, time among them.
        zs: the projected inputs of the steps, with the same leading axes.

    Returns:
        one value a step; -inf exactly where a slope is zero (a ReLU below its threshold, an LSTM whose c is zero).
    """
    zs = floating(real_array(zs, "projected inputs"), cell.spec.param_dtype)
    return _step_log_abs_det(cell, params, states_before, zs)


@compiled("cell")
def _step_log_abs_det(cell: Cell, params: Tree, states_before: Tree, zs: Array) -> Array:
    return step_determinant(cell, params, states_before, zs).log_abs_det


def step_determinant(cell: Cell, params: Tree, states_before: Tree, zs: Float[Array, "*B GH"]) -> StepDeterminant:
    """Return ``step_log_abs_det`` and the null directions: units of slope zero, or the rank missing in a projection."""
    if isinstance(cell, Stack):
        return _of_stack(cell, params, states_before, zs)
    closed, logs = cell.facts.log_determinant, _declared_log_slopes(cell, params, states_before, zs)
    if closed is None or logs is None:
        return _without_closed_form(cell, params, states_before, zs)
    null = jnp.maximum((logs == -jnp.inf).sum(axis=-1, dtype=jnp.int32), closed.null_directions)
    dtype = result_dtype(cell.spec.param_dtype)
    if closed.null_directions:
        total = jnp.full((), -jnp.inf, dtype)
    elif closed.recurrent_block is None:
        total = jnp.zeros((), dtype)
    else:
        total = log_abs_det(closed.recurrent_block(params))
    return StepDeterminant(logs.astype(total.dtype).sum(axis=-1) + total, null)


def log_slopes(cell: Cell, params: Tree, states_before: Tree, zs: Float[Array, "*B GH"]) -> LogSlopes:
    """Return the logarithms of the diagonals of step Jacobians of a cell that declares them to be diagonal.

    They are the closed form of the cell where that has one term for each number of the state, and otherwise computed
    from the Jacobian's entries, which underflow in the cell's dtype where a gate is far enough closed.
    """
    closed, logs = cell.facts.log_determinant, _declared_log_slopes(cell, params, states_before, zs)
    entries_alone = closed is not None and closed.recurrent_block is None and not closed.null_directions
    if logs is not None and entries_alone and logs.shape[-1] == state_size(cell):
        return LogSlopes(logs, logs == -jnp.inf, jnp.zeros(logs.shape, bool))
    entries = jacobian_blocks(cell, params, states_before, zs)[..., 0, 0]
    dtype, tiny = result_dtype(entries.dtype), jnp.finfo(entries.dtype).tiny
    zero = ~nonzero_entries(entries)
    unresolved = ~zero & (jnp.abs(entries) < tiny)
    usual = ~(zero | unresolved)
    logs = jnp.log(jnp.where(usual, jnp.abs(entries).astype(dtype), jnp.ones((), dtype)))
    other = jnp.where(zero, -jnp.inf, jnp.asarray(np.log(float(tiny)), dtype))
    return LogSlopes(jnp.where(usual, logs, other), zero, unresolved)


def _declared_log_slopes(cell: Cell, params: Tree, states: Tree, zs: Array) -> Array | None:
    """Return the terms of the closed form that depend on the step, for a cell that declares one."""
    closed = cell.facts.log_determinant
    if closed is None:
        return None
    if cell.recurrent_projection is None or cell.update is None:
        return closed.log_slopes(params, states, cell.step(params, states, zs), zs, jnp.zeros_like(zs))
    r = cell.recurrent_projection(params, states)
    return closed.log_slopes(params, states, cell.update(params, states, zs, r), zs, r)


def _without_closed_form(cell: Cell, params: Tree, states: Tree, zs: Array) -> StepDeterminant:
    blocks = declared_blocks(cell)
    if blocks is None:
        found = _by_factoring(cell, params, states, zs)
    elif blocks.size == 1:
        slopes = log_slopes(cell, params, states, zs)
        return StepDeterminant(slopes.logs.sum(axis=-1), slopes.zero.sum(axis=-1, dtype=jnp.int32))
    else:
        matrices = jacobian_blocks(cell, params, states, zs)
        flat = jax.vmap(log_abs_det)(matrices.reshape(-1, blocks.size, blocks.size))
        found = flat.reshape(matrices.shape[:-2]).sum(axis=-1)
    return StepDeterminant(found, jnp.zeros(found.shape, jnp.int32))


def _of_stack(stack: Stack, params: Tree, states: Tree, zs: Array) -> StepDeterminant:
    """The sum over layers: a layer's new state depends on its own old one and on those below, never above.

    Null directions of one layer may lie in the range of another, so that only those of the worst layer are certain.
    """
    total, null = jnp.zeros((), result_dtype(stack.spec.param_dtype)), jnp.zeros((), jnp.int32)
    passed: Passed | None = None
    for layer, layer_params, state in zip(stack.layers, params, states, strict=True):
        zs = zs if passed is None else layer.input_projection(layer_params, passed.below)
        found = step_determinant(layer, layer_params, state, zs)
        total = total + found.log_abs_det.astype(total.dtype)
        null = jnp.maximum(null, found.null)
        h = layer.output(layer_params, layer.step(layer_params, state, zs), zs)
        passed = stack.passed(h, passed)
    return StepDeterminant(total, null)


def _by_factoring(cell: Cell, params: Tree, states: Tree, zs: Array) -> Array:
    """LU of each step's Jacobian, one after the other: no two matrices are held at once."""
    mixing = recurrent_projection_matrix(cell, params) if cell.splits else None

    def one(step: tuple[Tree, Array]) -> Array:
        state, z = step
        if mixing is None:
            return log_abs_det(autodiff_jacobian(cell, params, state, z))
        return log_abs_det(structured_jacobian(cell, params, state, z, recurrent_matrix=mixing))

    batch_shape = zs.shape[:-1]
    axes = len(batch_shape)
    steps = jax.tree.map(lambda a: a.reshape(math.prod(batch_shape), *a.shape[axes:]), (states, zs))
    return jax.lax.map(one, steps).reshape(batch_shape)
