"""Count the iterations of Newton's method over a whole sequence, beside the largest Lyapunov exponent."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.parallel_in_time.recipe import Recipe
from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells import Cell
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.compilation import jit
from rnnlm_jax.jacobians import lyapunov_spectrum
from rnnlm_jax.unroll import Newton, certified_unroll, unroll

#: The parts of the Jacobian that iterations use: all numbers that may differ from zero, or the diagonal.
BLOCKS, DIAGONAL = "blocks", "diagonal"
#: Called with the number of sequences solved since its last call.
Advance = Callable[[int], object]


def iterations_by_length(
    cell: Cell,
    params: Tree,
    xs: Float[Array, "T D"],
    lengths: Sequence[int],
    *,
    recipe: Recipe,
    jacobian: str,
    advance: Advance,
) -> list[dict[str, Any]]:
    """Return how Newton's method solves the first T steps at once, for lengths T up to the first that it gives up.

    A length is left out, too, if the most iterations that it may have are fewer than the length before it needed.

    Args:
        cell: the cell.
        params: its parameters.
        xs: the inputs of one sequence.
        lengths: T, ascending.
        recipe: the limits of the iterations.
        jacobian: ``BLOCKS`` or ``DIAGONAL``.
        advance: reports progress.
    """
    found: list[dict[str, Any]] = []
    for steps in lengths:
        most = most_iterations(cell, steps, jacobian, recipe)
        if found and (not found[-1]["converged"] or most < found[-1]["iterations"]):
            advance(len(lengths) - len(found))
            break
        found.append(solved(cell, params, xs[:steps], jacobian=jacobian, most=most))
        advance(1)
    return found


def most_iterations(cell: Cell, steps: int, jacobian: str, recipe: Recipe) -> int:
    """Return the number of iterations after which a sequence of some steps is given up."""
    blocks = state_blocks(cell)
    size = blocks.size if jacobian == BLOCKS else 1
    affordable = int(recipe.most_work / (steps * blocks.count * blocks.size * size**2))
    return max(1, min(recipe.most_iterations, steps, affordable))


def solved(cell: Cell, params: Tree, xs: Float[Array, "T D"], *, jacobian: str, most: int) -> dict[str, Any]:
    """Return iterations and residual for one sequence, and the largest difference from the sequential scan."""
    certificate, difference = jax.device_get(_solver(cell, jacobian, most, xs.shape[0])(params, xs[:, None]))
    return {
        "steps": xs.shape[0],
        "most_iterations": most,
        "iterations": int(certificate.iterations[0]),
        "converged": bool(certificate.converged[0]),
        "residual": float(certificate.residual[0]),
        "difference": float(difference),
    }


@functools.cache
def _solver(cell: Cell, jacobian: str, most: int, steps: int) -> Callable[..., Any]:
    """Return the compiled function from parameters and inputs to the certificate and the difference.

    Parameters are arguments, so that networks of one size share a program.
    """
    newton = Newton(max_iterations=most, chunk=steps, jacobian=jacobian)

    def solve(params: Tree, xs: Array) -> tuple[Any, Array]:
        state = cell.initial_state((1,))
        _, hs, (certificate,) = certified_unroll(cell, params, state, xs, executor=newton)
        scanned = unroll(cell, params, state, xs, executor="scan")[1]
        return certificate, jnp.abs(hs - scanned).max() / jnp.abs(scanned).max()

    return jit(solve)


def largest_exponent(cell: Cell, params: Tree, xs: Float[Array, "T D"], *, burn_in: int) -> dict[str, float]:
    """Return the largest Lyapunov exponent, nats a step, along inputs, and its standard error."""
    state, key = cell.initial_state(()), jax.random.key(0)
    found = lyapunov_spectrum(cell, params, state, xs, key=key, count=1, burn_in=burn_in)
    return {"exponent": float(found.exponents[0]), "standard_error": float(found.standard_errors[0])}
