"""How the number of iterations follows from the largest exponent λ and the number of steps T."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Point = dict[str, Any]


class Growth(NamedTuple):
    """The least-squares line ``iterations = first + each · log₁₀(T / T_0)``, T_0 the shortest length."""

    first: float
    each: float
    """Iterations added by ten times as many steps."""
    largest_error: float
    """Largest difference between the line and what was counted."""


def growth(points: Sequence[Point]) -> Growth | None:
    """Return the line through the iterations of a network that converge; None for fewer than three lengths."""
    kept = [point for point in points if point["converged"]]
    if len(kept) < 3:
        return None
    x = np.log10([point["steps"] / kept[0]["steps"] for point in kept])
    y = np.array([float(point["iterations"]) for point in kept])
    each, first = np.polyfit(x, y, 1)
    return Growth(float(first), float(each), float(np.abs(first + each * x - y).max()))


def exponent_of_growth(points: Sequence[Point]) -> float | None:
    """Return p of ``iterations ∝ T^p``, between the shortest and the longest length that converge.

    0 means that iterations do not grow; 1 that nothing is gained by solving all steps at once.
    """
    kept = [point for point in points if point["converged"]]
    if len(kept) < 2:
        return None
    first, last = kept[0], kept[-1]
    return math.log(last["iterations"] / first["iterations"]) / math.log(last["steps"] / first["steps"])


def at(points: Sequence[Point], steps: int) -> Point | None:
    """Return what was counted for a length; None if it was not run."""
    return next((point for point in points if point["steps"] == steps), None)
