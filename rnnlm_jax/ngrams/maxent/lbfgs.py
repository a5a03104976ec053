"""Limited-memory BFGS with a preconditioner (Nocedal & Wright 2006, algorithm 7.4).

The implementations of scipy and optax start each direction from a multiple of the identity, with which the weights of
n-grams take hundreds of steps.
"""

import collections
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

#: Number of remembered pairs of steps and gradient changes.
MEMORY = 20
#: Required share of the decrease predicted by the slope (Armijo), and the shortest step tried.
_ARMIJO, _MIN_STEP = 1e-4, 2.0**-20


class Point(NamedTuple):
    """A function evaluated at a point."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    precondition: Callable[[np.ndarray], np.ndarray]  # approximate inverse Hessian times a vector


class Objective(Protocol):
    """The function to minimise."""

    def __call__(self, x: np.ndarray) -> Point:
        """Return the value, gradient and preconditioner at ``x``."""
        ...


def minimize(
    evaluate: Objective,
    start: np.ndarray,
    *,
    tolerance: float,
    max_steps: int,
    progress: Callable[[], object] = lambda: None,
) -> Point:
    """Minimise a smooth convex function.

    Args:
        evaluate: the function; steps to a value that is not finite are shortened.
        start: initial point.
        tolerance: stop when the predicted decrease of a step is at most this.
        max_steps: maximum number of steps.
        progress: called after each step.

    Returns:
        The last point.
    """
    at = evaluate(start)
    pairs: collections.deque[tuple[np.ndarray, np.ndarray, float]] = collections.deque(maxlen=MEMORY)
    for _ in range(max_steps):
        direction = -_times_inverse(at, pairs)
        slope = float(direction @ at.gradient)
        if -slope <= 2 * tolerance:  # a quadratic decreases by half of the slope
            break
        reached = _backtrack(evaluate, at, direction, slope=slope)
        if reached is None:
            break
        step, change = reached.x - at.x, reached.gradient - at.gradient
        curvature = float(step @ change)
        if curvature > 0:
            pairs.append((step, change, curvature))
        at = reached
        progress()
    return at


def _times_inverse(at: Point, pairs: collections.deque[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """Return the approximate inverse Hessian times the gradient (two-loop recursion)."""
    rest, taken = at.gradient.copy(), []
    for step, change, curvature in reversed(pairs):
        taken.append(float(step @ rest) / curvature)
        rest -= taken[-1] * change
    found = at.precondition(rest)
    for (step, change, curvature), share in zip(pairs, reversed(taken), strict=True):
        found += (share - float(change @ found) / curvature) * step
    return found


def _backtrack(evaluate: Objective, at: Point, direction: np.ndarray, *, slope: float) -> Point | None:
    """Return the point of the first of the steps 1, ½, ¼ … that decreases enough; None if rounding prevents it."""
    length = 1.0
    while length >= _MIN_STEP:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            reached = evaluate(at.x + length * direction)
        if np.isfinite(reached.value) and reached.value <= at.value + _ARMIJO * length * slope:
            return reached
        length /= 2
    return None
