"""The executors for linear recurrences: all steps by an associative scan, forward and back, or back only."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.linear_recurrence import linear_recurrence
from rnnlm_jax.cells.cell import Cell, check_size
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.controlled_step import ControlledStep
from rnnlm_jax.unroll.parallel_states import LARGEST_BLOCK, Certificate
from rnnlm_jax.unroll.run_parallel import ParallelExecutor, why_symbolic
from rnnlm_jax.unroll.scan import scan_states

#: The steps of a chunk unless given.
CHUNK = 1024


def iterations_of(cell: Cell) -> int | None:
    """Return how many linear recurrences, one after the other, solve a sequence; None for other cells."""
    return 1 if cell.facts.is_linear else cell.facts.newton_iterations


@dataclass(frozen=True)
class _InChunks(ParallelExecutor):
    chunk: int = CHUNK
    """The steps that are solved at once: memory grows with it."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ArgumentError: if the chunk is not a positive whole number.
        """
        check_size("chunk", self.chunk)

    def steps_of_chunk(self, cell: Cell, xs: Float[Array, "T B D"]) -> int:
        """Return the option ``chunk``."""
        del cell, xs
        return self.chunk


@dataclass(frozen=True)
class Associative(_InChunks):
    """The executor ``associative`` with options: ``unroll(…, executor=Associative(chunk=256))``.

    It runs cells that are linear in the state, ``s_t = A_t s_{t-1} + b_t``, by an associative scan over each chunk of
    time (Martin & Cundy 2018). ``A_t`` are the Jacobians of the steps, as blocks of the declared structure. A cell
    with ``newton_iterations`` is solved by that many such scans.
    """

    def why_not(
        self, cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str
    ) -> str | None:
        """Return why it cannot run something, as a ``WhyNotFn``."""
        del params, control, platform
        if iterations_of(cell) is None:
            return (
                f"it runs cells that are linear in the state, and this {cell.spec.kind} cell is not one (newton runs "
                "every cell)"
            )
        return why_symbolic(xs) or _why_too_large(cell)

    def states(
        self, cell: Cell, params: Tree, zs: Float[Array, "T B GH"], control: Control, state: Tree
    ) -> tuple[Tree, Certificate]:
        """Return the states after every step, as a ``Solver``."""
        steps, blocks = ControlledStep(cell, control), state_blocks(cell)
        first, count = blocks.join(state), iterations_of(cell)
        assert count is not None
        # The first guess is zero, of the state before the first step too, so that a linear cell's b_t is exact: f_t(0).
        guess = jnp.zeros_like(first)
        states = jnp.zeros((zs.shape[0], *first.shape), first.dtype)
        for _ in range(count):
            befores = blocks.split(jnp.concatenate([guess[None], states[:-1]]))
            a = steps.jacobians(params, befores, zs)
            after = blocks.join(steps.after(params, befores, zs))
            states = states + linear_recurrence(a, after - states, first - guess)
            guess = first
        return blocks.split(states), _exact(zs, first, count)


@dataclass(frozen=True)
class AssociativeBackward(_InChunks):
    """The executor ``associative-backward``: the sequential scan forward, an associative scan back in time.

    It is exact for every cell, and pays where the blocks of the step Jacobian are small.
    """

    def why_not(
        self, cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str
    ) -> str | None:
        """Return why it cannot run something, as a ``WhyNotFn``."""
        del params, control, platform
        return why_symbolic(xs) or _why_too_large(cell)

    def states(
        self, cell: Cell, params: Tree, zs: Float[Array, "T B GH"], control: Control, state: Tree
    ) -> tuple[Tree, Certificate]:
        """Return the states after every step, as a ``Solver``."""
        _, states = scan_states(cell, params, zs, control, state)
        return states, _exact(zs, jax.tree.leaves(state)[0], 0)


def _why_too_large(cell: Cell) -> str | None:
    size = state_blocks(cell).size
    if size <= LARGEST_BLOCK:
        return None
    return (
        f"it multiplies blocks of up to {LARGEST_BLOCK} x {LARGEST_BLOCK} numbers, and the Jacobian of this "
        f"{cell.spec.kind} cell has {size} x {size}"
    )


def _exact(zs: Array, like: Array, iterations: int) -> Certificate:
    batch = zs.shape[1:2]
    return Certificate(jnp.zeros(batch, like.dtype), jnp.full(batch, iterations, jnp.int32), jnp.ones(batch, bool))
