"""Pascanu's regulariser: keep the norm of the back-propagated gradient, step by step, in the directions that matter."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.jacobians.arguments import inputs_over_time
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.state_cotangents import pull_through_time
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory

#: The least ``‖δ‖²`` that the authors' published code lets count.
LEAST_SQUARED_NORM = 1e-20


def pascanu_omega(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"],
    loss_of_outputs: Callable[[Float[Array, "T *B H"]], Float[Array, ""]],
    squared_norms: bool = False,
) -> Float[Array, ""]:
    """The regulariser Ω of Pascanu, Mikolov & Bengio (2013, eqs. 9 and 10), to be added to a loss.

        Ω = Σ_t ( ‖J_tᵀ δ_t‖ / ‖δ_t‖ - 1 )²,    δ_t = ∂E/∂s_t,    t = 1 … T,

    summed over time, averaged over sequences, of the full state (an LSTM's c with its h). Its gradient is the paper's
    immediate one: states, δ and the slopes of the nonlinearities are constants, and only the recurrent map, ``recurrent_projection``, is
    differentiated; every other parameter gets zeros. A cell that does not split is differentiated through its step, at
    constant states, δ and projected inputs.

    A step whose δ is zero, after the last loss or under a mask, does not count.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, ``[*B, ·]``.
        xs: the inputs.
        loss_of_outputs: E as a function of all outputs. Its scale does not matter.
        squared_norms: the ratio of squared norms in place of that of norms, and no step with ``‖δ‖² < 1e-20``: as in
            the authors' code (which also divides the sum by the mean number of steps that count).

    Raises:
        UserError: if the inputs have no features, or the state does not fit the cell and the inputs.
    """
    fixed, state, xs = stop_gradient((params, state, inputs_over_time(cell, state, xs, batched=True)))
    zs, states, outputs = _run(cell, fixed, state, xs)
    errors = jax.grad(loss_of_outputs)(outputs)
    return _omega(cell, params, zs, states, errors, squared_norms)


@compiled("cell")
def _run(cell: Cell, params: Tree, state: Tree, xs: Array) -> tuple[Array, Trajectory, Array]:
    zs = cell.input_projection(params, xs)
    states = trajectory(cell, params, state, zs)
    return zs, states, cell.readout(params, states.after)


@compiled("cell", "squared_norms")
def _omega(
    cell: Cell, params: Tree, zs: Array, states: Trajectory, errors: Array, squared_norms: bool
) -> Float[Array, ""]:
    """Ω, given the gradient of the loss with respect to each output."""
    fixed = stop_gradient(params)
    deltas = stop_gradient(pull_through_time(cell, fixed, states, zs, errors))

    # Only ratios matter: with the largest entry one, no square underflows.
    scales = jnp.stack([jnp.abs(part).max(axis=-1) for part in jax.tree.leaves(deltas)]).max(axis=0)
    counts = scales > 0
    divisors = jnp.where(counts, scales, jnp.ones((), scales.dtype))
    deltas = jax.tree.map(lambda part: part / divisors[..., None], deltas)
    squares = _squared_norm(deltas)
    pulled = _squared_norm(_pull_one_step(cell, params, fixed, states.before, zs, deltas))
    ratios = pulled / jnp.where(counts, squares, jnp.ones((), squares.dtype))
    if squared_norms:
        counts &= scales * scales * squares >= LEAST_SQUARED_NORM
    else:
        positive = ratios > 0  # the root has no slope at zero
        ratios = jnp.where(positive, jnp.sqrt(jnp.where(positive, ratios, jnp.ones((), ratios.dtype))), ratios)
    terms = jnp.where(counts, (ratios - 1) ** 2, jnp.zeros((), ratios.dtype))
    return terms.sum(axis=0).mean()


def _pull_one_step(cell: Cell, params: Tree, fixed: Tree, before: Tree, zs: Array, deltas: Tree) -> Tree:
    """``J_tᵀ δ_t = D_stateᵀ δ + mixᵀ(D_rᵀ δ)`` of all steps at once, a function of the parameters of ``recurrent_projection`` alone."""
    if cell.recurrent_projection is None or cell.update is None:
        return jax.vjp(lambda s: cell.step(params, s, zs), before)[1](deltas)[0]
    recurrent_projection, update = cell.recurrent_projection, cell.update
    _, pull_update = jax.vjp(lambda s, r: update(fixed, s, zs, r), before, recurrent_projection(fixed, before))
    directly, through_mix = pull_update(deltas)
    _, pull_recurrent = jax.vjp(lambda s: recurrent_projection(params, s), before)
    return jax.tree.map(jnp.add, directly, pull_recurrent(through_mix)[0])


def _squared_norm(state: Tree) -> Float[Array, "T *B"]:
    """Of the full state: all its parts together."""
    parts = jnp.stack([(part * part).sum(axis=-1) for part in jax.tree.leaves(state)])
    return parts.sum(axis=0)
