"""States of a sequence by any solver, with derivatives by one linear recurrence: the implicit function theorem."""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.arrays.linear_recurrence import linear_recurrence
from rnnlm_jax.arrays.mesh_axes import zeros_of
from rnnlm_jax.arrays.tangents import instantiated
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.controlled_step import ControlledStep
from rnnlm_jax.unroll.time_chunks import STATES

#: Blocks of up to this many numbers have their derivatives by an associative scan of their matrices, O(m³) a step.
#: Larger blocks go back in time step by step, O(m²).
LARGEST_BLOCK = 64


class Certificate(NamedTuple):
    """How a sequence was solved, for each sequence of the batch."""

    residual: Float[Array, "*B"]
    """``max_t |s_t - f(s_{t-1}, x_t)|`` relative to the largest number of the sequence's states."""
    iterations: Int[Array, "*B"]
    """Newton iterations, the most of any chunk of time."""
    converged: Bool[Array, "*B"]
    """Whether the residual is within the tolerance; False: the states are those of the sequential scan."""


class Solver(Protocol):
    """Compute the states of a sequence; hashable."""

    def states(
        self, cell: Cell, params: Tree, zs: Float[Array, "T B GH"], control: Control, state: Tree, /
    ) -> tuple[Tree, Certificate]:
        """Return the states after every step, ``[T, B, ·]``, T at least 1, and how they were found."""
        ...


def parallel_states(
    solver: Solver, cell: Cell, params: Tree, zs: Float[Array, "T B GH"], control: Control, state: Tree
) -> tuple[Tree, Certificate]:
    """Return the states after every step by a solver, and how they were found.

    Derivatives do not go through the solver. With ``J_t = ∂s_t/∂s_{t-1}`` at the solution and u_t the derivative of
    step t at fixed ``s_{t-1}``, tangents are ``ds_t = J_t ds_{t-1} + u_t``; cotangents are the same recurrence back in
    time, and then one vjp of all steps at once (Lim et al. 2024, section 3.1).
    """
    states, (residual, iterations, converged) = _solve(solver, cell, params, zs, control, state)
    return states, Certificate(residual, iterations.astype(jnp.int32), converged > 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _solve(
    solver: Solver, cell: Cell, params: Tree, zs: Array, control: Control, state: Tree
) -> tuple[Tree, tuple[Array, ...]]:
    """Return states, and the certificate in floating point: tangents of integers have no varying axes."""
    states, certificate = solver.states(cell, params, zs, control, state)
    return states, tuple(leaf.astype(certificate.residual.dtype) for leaf in certificate)


@functools.partial(_solve.defjvp, symbolic_zeros=True)
def _solve_jvp(
    solver: Solver, cell: Cell, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[tuple[Tree, Tree], tuple[Tree, Tree]]:
    params, zs, control, state = primals
    dparams, dzs, _, dstate = instantiated((tangents[0], tangents[1], None, tangents[3]))
    states, certificate = _solve(solver, cell, *primals)
    states = jax.tree.map(lambda leaf: checkpoint_name(leaf, STATES), states)
    befores = jax.tree.map(lambda first, after: jnp.concatenate([first[None], after[:-1]]), state, states)
    steps = ControlledStep(cell, control)
    us = jax.jvp(lambda params, zs: steps.after(params, befores, zs), (params, zs), (dparams, dzs))[1]
    blocks = state_blocks(cell)
    if blocks.size <= LARGEST_BLOCK:
        a = steps.jacobians(params, befores, zs)
        dstates = blocks.split(linear_recurrence(a, blocks.join(us), blocks.join(dstate)))
    else:
        dstates = _sequential_tangents(cell, params, befores, zs, control, us=us, dstate=dstate)
    dcertificate = jax.tree.map(lambda leaf: zeros_of(jax.typeof(leaf)), certificate)
    return (states, certificate), (dstates, dcertificate)


def _sequential_tangents(
    cell: Cell, params: Tree, befores: Tree, zs: Array, control: Control, *, us: Tree, dstate: Tree
) -> Tree:
    """Return ``ds_t = J_t ds_{t-1} + u_t`` step by step."""

    def body(ds: Tree, inputs: tuple[Tree, Array, Tree, Control]) -> tuple[Tree, Tree]:
        before, z, u, control = inputs
        steps = ControlledStep(cell, control)
        moved = jax.checkpoint(lambda s, ds: jax.jvp(lambda s: steps.after(params, s, z), (s,), (ds,))[1])(before, ds)
        after = jax.tree.map(jnp.add, moved, u)
        return after, after

    return jax.lax.scan(body, dstate, (befores, zs, us, control))[1]
