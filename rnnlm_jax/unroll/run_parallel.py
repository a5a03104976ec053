"""What the executors share that run all steps of a chunk of time at once: direction, chunks, outputs."""

import abc

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.parallel_states import Certificate, parallel_states
from rnnlm_jax.unroll.time_chunks import run_chunks


class ParallelExecutor(abc.ABC):
    """An executor that solves for the states of a chunk of time at once; it is a ``Solver``, and hashable."""

    @abc.abstractmethod
    def states(
        self, cell: Cell, params: Tree, zs: Float[Array, "T B GH"], control: Control, state: Tree, /
    ) -> tuple[Tree, Certificate]:
        """Return the states after every step, and how they were found, as a ``Solver``."""

    @abc.abstractmethod
    def steps_of_chunk(self, cell: Cell, xs: Float[Array, "T B D"]) -> int:
        """Return the number of steps that are solved at once."""

    def run(
        self,
        cell: Cell,
        params: Tree,
        state: Tree,
        xs: Float[Array, "T B D"],
        control: Control,
        *,
        reverse: bool = False,
        scan_unroll: int = 1,
    ) -> tuple[Tree, Float[Array, "T B H"]]:
        """Run a cell over time, an ``ExecutorFn``; there is no loop over steps for ``scan_unroll``."""
        del scan_unroll
        return self.run_certified(cell, params, state, xs, control, reverse=reverse)[:2]

    def run_certified(
        self, cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T B D"], control: Control, *, reverse: bool
    ) -> tuple[Tree, Float[Array, "T B H"], Certificate]:
        """Return the state after the last step, the outputs, and how each sequence was solved."""
        zs = cell.input_projection(params, xs)
        if xs.shape[0] == 0:
            states = jax.tree.map(lambda a: jnp.zeros((0, *a.shape), a.dtype), state)
            return state, cell.output(params, states, zs), _of_no_steps(cell, xs)

        def flip(tree: Tree) -> Tree:
            return jax.tree.map(lambda a: jnp.flip(a, axis=0), tree) if reverse else tree

        def run(state: Tree, zs: Array, control: Control) -> tuple[Tree, Certificate]:
            return parallel_states(self, cell, params, zs, control, state)

        final, states, chunks = run_chunks(run, state, flip(zs), flip(control), chunk=self.steps_of_chunk(cell, xs))
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
