"""Limited-memory BFGS with a preconditioner of the caller's (Nocedal & Wright 2006, algorithm 7.4).

Those of scipy and optax begin each direction from a multiple of the identity, with which the weights of n-grams take
hundreds of steps.
"""

import collections
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: Pairs of steps and changes of the gradient that are remembered.
MEMORY = 20
#: The share of the decrease that the slope promises, and the shortest step that is tried.
_ENOUGH, _SHORTEST = 1e-4, 2.0**-20


class Point(NamedTuple):
    """A place, its value and gradient, and how to precondition there."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    precondition: Callable[[np.ndarray], np.ndarray]


def minimize(
    evaluate: Callable[[np.ndarray], Point],
    start: np.ndarray,
    enough: float,
    most_steps: int,
    progress: Callable[[], object] = lambda: None,
) -> Point:
    """The minimum of a smooth convex function.

    Args:
        evaluate: the function at a place; a value that is not finite is stepped back from.
        start: where to begin.
        enough: stop where a step promises to win no more than this.
        most_steps: stop after as many.
        progress: told of each step.
    """
    at = evaluate(start)
    pairs: collections.deque[tuple[np.ndarray, np.ndarray, float]] = collections.deque(maxlen=MEMORY)
    for _ in range(most_steps):
        direction = -_times_inverse(at, pairs)
        slope = float(direction @ at.gradient)
        if -slope <= 2 * enough:  # a quadratic wins half of its slope
            break
        reached = _search(evaluate, at, direction, slope)
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
    """The gradient times what is known of the inverse Hessian."""
    rest, taken = at.gradient.copy(), []
    for step, change, curvature in reversed(pairs):
        taken.append(float(step @ rest) / curvature)
        rest -= taken[-1] * change
    found = at.precondition(rest)
    for (step, change, curvature), share in zip(pairs, reversed(taken), strict=True):
        found += (share - float(change @ found) / curvature) * step
    return found


def _search(evaluate: Callable[[np.ndarray], Point], at: Point, direction: np.ndarray, slope: float) -> Point | None:
    """The first of the steps 1, ½, ¼ … that wins enough; None if rounding lets none."""
    length = 1.0
    while length >= _SHORTEST:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            reached = evaluate(at.x + length * direction)
        if np.isfinite(reached.value) and reached.value <= at.value + _ENOUGH * length * slope:
            return reached
        length /= 2
    return None
