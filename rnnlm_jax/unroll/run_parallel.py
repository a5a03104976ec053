"""Running a cell by a solver of all its steps at once: direction, chunks of time, outputs."""

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.parallel_states import Certificate, Solver, parallel_states
from rnnlm_jax.unroll.time_chunks import run_chunks


def run_parallel(
    solver: Solver,
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    *,
    reverse: bool,
    chunk: int,
) -> tuple[Tree, Float[Array, "T B H"], Certificate]:
    """Return the state after the last step, the outputs, and how each sequence was solved.

    Args:
        solver: computes the states of a chunk.
        cell: the cell.
        params: its parameters.
        state: the state before the first step.
        xs: the inputs.
        control: masks and resets.
        reverse: run from the last step to the first.
        chunk: steps in a chunk of time.
    """
    zs = cell.input_projection(params, xs)
    if xs.shape[0] == 0:
        states = jax.tree.map(lambda a: jnp.zeros((0, *a.shape), a.dtype), state)
        return state, cell.output(params, states, zs), _of_no_steps(cell, xs)

    def flip(tree: Tree) -> Tree:
        return jax.tree.map(lambda a: jnp.flip(a, axis=0), tree) if reverse else tree

    def run(state: Tree, zs: Array, control: Control) -> tuple[Tree, Certificate]:
        return parallel_states(solver, cell, params, zs, control, state)

    final, states, chunks = run_chunks(run, state, flip(zs), flip(control), chunk=chunk)
    certificate = Certificate(
        chunks.residual.max(axis=0), chunks.iterations.max(axis=0), jnp.all(chunks.converged, axis=0)
    )
    return final, cell.output(params, flip(states), zs), certificate


def why_symbolic(xs: Float[Array, "T B D"]) -> str | None:
    """Return why inputs cannot be run in parallel: their number of steps is a symbol."""
    return "it needs a known number of steps, not a symbol of jax.export" if is_symbolic_dim(xs.shape[0]) else None


def _of_no_steps(cell: Cell, xs: Array) -> Certificate:
    batch = xs.shape[1:2]
    return Certificate(jnp.zeros(batch, cell.spec.param_dtype), jnp.zeros(batch, jnp.int32), jnp.ones(batch, bool))
