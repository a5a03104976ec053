"""The regulariser of Pascanu, Mikolov & Bengio (2013): each step preserves the norm of the back-propagated gradient."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.broadcasting import as_rows, over_parts
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.jacobians.arguments import inputs_over_time
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.state_cotangents import propagate_cotangents
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory

#: In the authors' published code, steps with a smaller ``‖δ‖²`` are left out.
LEAST_SQUARED_NORM = 1e-20


class LossOfOutputs(Protocol):
    """A loss of all outputs."""

    def __call__(self, hs: Float[Array, "T *B H"], /) -> Float[Array, ""]:
        """Return the loss of the outputs of a cell over time, summed or averaged over the batch."""
        ...


def pascanu_omega(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"] | ArrayLike,
    *,
    loss_of_outputs: LossOfOutputs,
    squared_norms: bool = False,
) -> Float[Array, ""]:
    """Return the regulariser Ω of Pascanu, Mikolov & Bengio (2013, eqs. 9 and 10), to be added to a loss E.

        Ω = Σ_t ( ‖J_tᵀ δ_t‖ / ‖δ_t‖ - 1 )²,    δ_t = ∂E/∂s_t,    t = 1 … T,

    summed over time and averaged over sequences, for the full state (h and c of an LSTM). Its gradient is the immediate
    one of the paper: states, δ and the derivatives of the nonlinearities are constants, and only
    ``recurrent_projection`` is differentiated; the gradient of every other parameter is zero. A cell that does not
    split is differentiated through its step, at constant states, δ and projected inputs.

    Steps whose δ is zero, after the last loss or under a mask, are left out. The cost is O(T·H²) a sequence.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, ``[*B, ·]``.
        xs: the inputs.
        loss_of_outputs: E as a function of all outputs; its scale does not matter.
        squared_norms: whether to use the ratio of squared norms in place of that of norms, and to leave out steps with
            ``‖δ‖² < 1e-20``, as the authors' code does (which also divides by the mean number of steps used).

    Raises:
        ArgumentError: if the inputs have no features, or the state does not fit the cell and the inputs.
    """
    fixed, state, xs = stop_gradient((params, state, inputs_over_time(cell, state, xs, batched=True)))
    run = _run(cell, fixed, state, xs)
    output_cotangents = jax.grad(loss_of_outputs)(run.outputs)
    return _omega(cell, params, run, output_cotangents=output_cotangents, squared_norms=squared_norms)


class _Run(NamedTuple):
    """The projected inputs, states and outputs of a cell over time."""

    zs: Float[Array, "T *B GH"]
    states: Trajectory
    outputs: Float[Array, "T *B H"]


@compiled("cell")
def _run(cell: Cell, params: Tree, state: Tree, xs: Array) -> _Run:
    zs = cell.input_projection(params, xs)
    states = trajectory(cell, params, state, zs)
    return _Run(zs, states, cell.output(params, states.after, zs))


@compiled("cell", "squared_norms")
def _omega(cell: Cell, params: Tree, run: _Run, *, output_cotangents: Array, squared_norms: bool) -> Float[Array, ""]:
    """Return Ω, given the gradient of the loss with respect to each output."""
    zs, states, _ = run
    deltas = propagate_cotangents(cell, stop_gradient(params), states, zs=zs, output_cotangents=output_cotangents)
    terms = omega_of_steps(cell, params, states.before, zs=zs, deltas=deltas, squared_norms=squared_norms)
    return terms.sum(axis=0).mean()


def omega_of_steps(
    cell: Cell,
    params: Tree,
    before: Tree,
    *,
    zs: Float[Array, "T *B GH"],
    deltas: Tree,
    squared_norms: bool = False,
) -> Float[Array, "T *B"]:
    """Return ``(‖J_tᵀ δ_t‖ / ‖δ_t‖ - 1)²`` of each step, 0 where δ is zero, for δ that have been computed.

    The sum over steps is ``pascanu_omega``, with the same immediate gradient. All steps are computed together.

    Args:
        cell: a single cell that can be stepped.
        params: its parameters, by which the result is to be differentiated.
        before: the state before each step, leaves ``[T, *B, ·]``; taken as constant.
        zs: the projected inputs; taken as constant.
        deltas: ``δ_t = ∂E/∂s_t``, states ``[T, *B, ·]``; taken as constant.
        squared_norms: see ``pascanu_omega``.
    """
    fixed = stop_gradient(params)
    before, zs, deltas = stop_gradient((before, zs, deltas))

    axes = zs.ndim - 1
    # Only ratios are needed: with a largest entry of 1, no square underflows.
    scales = jnp.stack([jnp.abs(as_rows(part, axes)).max(axis=-1) for part in jax.tree.leaves(deltas)]).max(axis=0)
    used = scales > 0
    divisors = jnp.where(used, scales, jnp.ones((), scales.dtype))
    deltas = jax.tree.map(lambda part: part / over_parts(divisors, part), deltas)
    squares = _squared_norm(deltas, axes)
    earlier = _transposed_step(cell, params, fixed=fixed, before=before, zs=zs, deltas=deltas)
    ratios = _squared_norm(earlier, axes) / jnp.where(used, squares, jnp.ones((), squares.dtype))
    if squared_norms:
        used &= scales * scales * squares >= LEAST_SQUARED_NORM
    else:
        positive = ratios > 0  # the square root has no derivative at 0
        ratios = jnp.where(positive, jnp.sqrt(jnp.where(positive, ratios, jnp.ones((), ratios.dtype))), ratios)
    return jnp.where(used, (ratios - 1) ** 2, jnp.zeros((), ratios.dtype))


def _transposed_step(cell: Cell, params: Tree, *, fixed: Tree, before: Tree, zs: Array, deltas: Tree) -> Tree:
    """Return ``J_tᵀ δ_t = (∂update/∂s)ᵀ δ_t + Rᵀ (∂update/∂r)ᵀ δ_t`` of all steps together.

    R is ``recurrent_projection``. If the cell splits, only R is evaluated at ``params``, and ``update`` at ``fixed``.
    """
    if cell.recurrent_projection is None or cell.update is None:
        return jax.vjp(lambda s: cell.step(params, s, zs), before)[1](deltas)[0]
    recurrent_projection, update = cell.recurrent_projection, cell.update
    _, update_vjp = jax.vjp(lambda s, r: update(fixed, s, zs, r), before, recurrent_projection(fixed, before))
    direct, delta_r = update_vjp(deltas)
    _, recurrent_vjp = jax.vjp(lambda s: recurrent_projection(params, s), before)
    return jax.tree.map(jnp.add, direct, recurrent_vjp(delta_r)[0])


def _squared_norm(state: Tree, axes: int) -> Float[Array, "T *B"]:
    """Return the squared norm of the full state, over all its parts, whose first ``axes`` are time and batch."""
    parts = jnp.stack([jnp.square(as_rows(part, axes)).sum(axis=-1) for part in jax.tree.leaves(state)])
    return parts.sum(axis=0)
