"""Times of the executors, in turn, on the processor at hand; good only on a machine without other work."""

import platform
from pathlib import Path
from typing import Any, NamedTuple

from experiments.parallel_in_time.iterations import Advance
from experiments.parallel_in_time.programs import Executors, executors, layer
from experiments.parallel_in_time.recipe import Recipe
from rnnlm_jax.benchmarking.measure.agreement import check_equal, tolerance
from rnnlm_jax.benchmarking.measure.jax_layer import BACKWARD, FORWARD
from rnnlm_jax.benchmarking.measure.timing import interleave
from rnnlm_jax.benchmarking.record_environment import record_environment

#: Name of the executor that the library chooses.
DEFAULT = "default"


class Case(NamedTuple):
    """A cell, its units, the number of steps, and the pass."""

    cell: str
    units: int
    steps: int
    job: str

    @property
    def name(self) -> str:
        """The case as the name of a file."""
        return f"{self.cell}-{self.units}-{self.steps}-{self.job}"


def cases(recipe: Recipe) -> list[Case]:
    """Return the cases that are timed."""
    half = recipe.units // 2
    layers = (("mingru", 2 * recipe.units), ("gru", half), ("gru", recipe.units))
    return [
        Case(cell, units, steps, job)
        for cell, units in layers
        for steps in recipe.timed_lengths
        for job in (FORWARD, BACKWARD)
    ]


def times(case: Case, recipe: Recipe, *, advance: Advance) -> dict[str, Any]:
    """Return seconds of one call of each executor, median and quartiles, after comparing their results with scan's.

    Raises:
        WeightsError: if an executor computes something else.
    """
    names: Executors = executors(case.cell) | {DEFAULT: None}
    candidates = {
        name: layer(name, case.cell, case.units, case.steps, executor).candidate(case.job)
        for name, executor in names.items()
    }
    numbers = {}
    for name, candidate in candidates.items():
        assert candidate.numbers is not None
        numbers[name] = candidate.numbers(candidate.call())
        allowed = tolerance("float32", platform="cpu")
        check_equal(name, case.name, numbers["scan"], theirs=numbers[name], allowed=allowed)
    found = interleave({name: candidate.call for name, candidate in candidates.items()}, recipe.repeats)
    advance(1)
    seconds = {name: {"median": t.median, "lower": t.lower, "upper": t.upper} for name, t in found.items()}
    described = record_environment((), "float32", recipe.repeats) | {"processor": processor_name()}
    return case._asdict() | {"seconds": seconds, "recipe": recipe.recorded(), "environment": described}


def processor_name() -> str:
    """Return the name of the processor, from ``/proc/cpuinfo`` where there is one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
