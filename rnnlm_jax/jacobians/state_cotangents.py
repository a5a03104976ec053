"""The gradient of a loss with respect to every state along a sequence."""

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import floating, inputs_over_time, real_array
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory


def state_cotangents(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"] | ArrayLike,
    *,
    output_cotangents: Float[Array, "T *B H"] | ArrayLike,
) -> Tree:
    """Return ``δ_t = ∂E/∂s_t`` of the full state for t = 1 … T, through the outputs and all later states.

        δ_t = (∂h_t/∂s_t)ᵀ ē_t + J_{t+1}ᵀ δ_{t+1},    ē_t = ∂E/∂h_t

    It costs O(T·H²) a sequence. (For norms beyond the range of the dtype, see ``gradient_by_lag``.)

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, ``[*B, ·]``.
        xs: the inputs.
        output_cotangents: ``ē_t``, the gradient of the loss with respect to each output by itself.

    Returns:
        a state with leaves ``[T, *B, ·]``.

    Raises:
        ArgumentError: if the inputs have no features, or state or cotangents do not fit the cell and the inputs.
    """
    xs = inputs_over_time(cell, state, xs, batched=True)
    cotangents = floating(real_array(output_cotangents, "output_cotangents"), cell.spec.param_dtype)
    output_shape = (*xs.shape[:-1], cell.spec.output_size)
    if cotangents.shape != output_shape:
        raise ArgumentError(f"`output_cotangents` have shape {cotangents.shape}, but outputs have {output_shape}")
    return _state_cotangents(cell, params, state, xs, output_cotangents=cotangents)


@compiled("cell")
def _state_cotangents(cell: Cell, params: Tree, state: Tree, xs: Array, *, output_cotangents: Array) -> Tree:
    zs = cell.input_projection(params, xs)
    states = trajectory(cell, params, state, zs)
    return propagate_cotangents(cell, params, states, zs=zs, output_cotangents=output_cotangents)


def propagate_cotangents(
    cell: Cell,
    params: Tree,
    states: Trajectory,
    *,
    zs: Float[Array, "T *B GH"],
    output_cotangents: Float[Array, "T *B H"],
) -> Tree:
    """Return ``state_cotangents`` for states that have been computed."""
    _, readout_vjp = jax.vjp(lambda s: cell.output(params, s, zs), states.after)
    (direct,) = readout_vjp(output_cotangents)

    def back(later: Tree, at: tuple[Tree, Array, Tree]) -> tuple[Tree, Tree]:
        before, z, direct = at
        delta = jax.tree.map(jnp.add, direct, later)
        _, step_vjp = jax.vjp(lambda s: cell.step(params, s, z), before)
        return step_vjp(delta)[0], delta

    after_the_end = jax.tree.map(lambda a: jnp.zeros_like(a[0]), direct)
    return jax.lax.scan(back, after_the_end, (states.before, zs, direct), reverse=True)[1]
