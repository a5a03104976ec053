"""The gradient of a loss with respect to every state on its way: where it vanishes or explodes, it shows here."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import floating, inputs_over_time, real_array
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory


def state_cotangents(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"], output_cotangents: Float[Array, "T *B H"]
) -> Tree:
    """``δ_t = ∂E/∂s_t`` of the full state for t = 1 … T, through the outputs and through all later states.

        δ_t = (∂h_t/∂s_t)ᵀ ē_t + J_{t+1}ᵀ δ_{t+1}

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, ``[*B, ·]``.
        xs: the inputs.
        output_cotangents: ``ē_t = ∂E/∂h_t``, what the loss says of each output by itself.

    Returns:
        a state whose parts are ``[T, *B, ·]``.

    Raises:
        UserError: if the inputs have no features, or the state or the cotangents do not fit the cell and the inputs.
    """
    xs = inputs_over_time(cell, state, xs, batched=True)
    cotangents = floating(real_array(output_cotangents, "output cotangents"), cell.spec.param_dtype)
    wanted = (*xs.shape[:-1], cell.spec.output_size)
    if cotangents.shape != wanted:
        raise UserError(f"output cotangents of shape {cotangents.shape} do not fit outputs of shape {wanted}")
    return _state_cotangents(cell, params, state, xs, cotangents)


@compiled("cell")
def _state_cotangents(cell: Cell, params: Tree, state: Tree, xs: Array, output_cotangents: Array) -> Tree:
    zs = cell.input_projection(params, xs)
    return pull_through_time(cell, params, trajectory(cell, params, state, zs), zs, output_cotangents)


def pull_through_time(
    cell: Cell, params: Tree, states: Trajectory, zs: Float[Array, "T *B GH"], output_cotangents: Float[Array, "T *B H"]
) -> Tree:
    """``state_cotangents`` along a trajectory that is known."""
    _, pull_readout = jax.vjp(lambda s: cell.readout(params, s), states.after)
    (direct,) = pull_readout(output_cotangents)

    def back(later: Tree, at: tuple[Tree, Array, Tree]) -> tuple[Tree, Tree]:
        before, z, direct = at
        delta = jax.tree.map(jnp.add, direct, later)
        _, pull = jax.vjp(lambda s: cell.step(params, s, z), before)
        return pull(delta)[0], delta

    nothing = jax.tree.map(lambda a: jnp.zeros_like(a[0]), direct)
    return jax.lax.scan(back, nothing, (states.before, zs, direct), reverse=True)[1]
