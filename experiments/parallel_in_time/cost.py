"""Work, depth and memory of running over time: by formula, and the memory that the compiler reports."""

import math
from typing import Any, NamedTuple

from experiments.parallel_in_time.iterations import Advance
from experiments.parallel_in_time.programs import Executors, executors, layer, whole
from experiments.parallel_in_time.recipe import Recipe
from rnnlm_jax.benchmarking.measure.jax_layer import BACKWARD
from rnnlm_jax.training.results import environment

#: Cells whose memory is measured, and the executor that may take all steps in one chunk.
MEASURED = {"gru": "newton", "mingru": "associative"}


class Cost(NamedTuple):
    """What one forward pass over a sequence costs."""

    work: float
    """Multiplications."""
    depth: int
    """Stages that follow each other: steps, or levels of an associative scan."""
    memory: int
    """Numbers held at once, without parameters and inputs."""


def scan_cost(steps: int, n: int, *, gates: int = 1) -> Cost:
    """Return the cost of the sequential scan of a cell with G dense recurrent matrices: ``G T n²``, T, ``T n``."""
    return Cost(gates * steps * n**2, steps, steps * n)


def newton_cost(steps: int, n: int, *, iterations: int, m: int, chunk: int, gates: int = 1) -> Cost:
    """Return the cost of k iterations with blocks of m numbers, for chunks of C steps.

        work    k T (G n² + G n m + 2 n (m² + m))     steps, their Jacobians, and 2 products of pairs a step
        depth   k ⌈T / C⌉ (2 ⌈log₂ C⌉ + 1)            levels up and down, and the steps at once
        memory  T n + 2 min(C, T) n m                 states; Jacobians and their products

    Args:
        steps: T.
        n: numbers in the state.
        iterations: k.
        m: numbers in a block: n for dense Jacobians, 1 for diagonal ones.
        chunk: C.
        gates: G, products with dense recurrent matrices a step; 0 for a cell that is linear and diagonal, which one
            associative scan solves.
    """
    chunk = min(chunk, steps)
    return Cost(
        iterations * steps * (gates * n**2 + gates * n * m + 2 * n * (m**2 + m)),
        iterations * math.ceil(steps / chunk) * (2 * math.ceil(math.log2(chunk)) + 1),
        steps * n + 2 * chunk * n * m,
    )


def memory(cell: str, recipe: Recipe, *, advance: Advance) -> dict[str, Any]:
    """Return the bytes of the compiled gradient of one sequence, for each executor of a cell.

    They are arguments, results and temporaries, as the compiler reports them; nothing is run.
    """
    parallel = MEASURED[cell]
    steps = recipe.memory_length
    candidates: Executors = executors(cell) | {f"{parallel}, one chunk": whole(parallel, steps)}
    found = {}
    for name, executor in candidates.items():
        found[name] = layer(name, cell, recipe.units, steps, executor).candidate(BACKWARD).memory_bytes
        advance(1)
    return {
        "cell": cell,
        "units": recipe.units,
        "steps": steps,
        "bytes": found,
        "recipe": recipe.recorded(),
        "environment": environment(),
    }
