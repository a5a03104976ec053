"""The minimum of a smooth convex function of one positive number, with a bound on what is left to gain."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.errors import DataError

#: Where the search begins, and how far it goes.
FIRST, SMALLEST, LARGEST = (0.8, 1.0, 1.25), 2.0**-20, 2.0**20
#: Most passes; Newton's steps take about four.
MOST_PASSES = 60


class Curve(NamedTuple):
    """A convex function at J points: its values and its first two derivatives."""

    values: Float[np.ndarray, "J"]
    slopes: Float[np.ndarray, "J"]
    curvatures: Float[np.ndarray, "J"]


class Minimum(NamedTuple):
    """A point near the minimum of a convex function."""

    x: float
    value: float
    excess: float
    """Bound on ``f(x) - min f``: ``|f'(x)| (b - a)`` for the minimum between a and b, of which x is one (convexity)."""
    passes: int
    """Number of calls of the function."""


class _Point(NamedTuple):
    x: float
    value: float
    slope: float
    curvature: float


def convex_minimum(curve: Callable[[Float[np.ndarray, "J"]], Curve], *, tolerance: float) -> Minimum:
    """Find the minimum of a convex function of x > 0 from values, slopes and curvatures at a few points per pass.

    A bracket with slopes of both signs shrinks from both sides. Each pass evaluates three points in it: Newton's step
    from its flatter end and the secant of the slopes, which lie on either side of the minimum where f' is convex or
    concave, so that both ends converge as fast as Newton's method (Dandelin); and the middle, which at least halves it.

    Args:
        curve: the function; it takes a few points at once.
        tolerance: largest ``excess``, in units of f.

    Raises:
        DataError: if a value is not finite, or there is no minimum between ``SMALLEST`` and ``LARGEST``.
    """
    below = above = None
    next_points, passes = list(FIRST), 0
    while True:
        for point in _evaluate(curve, next_points):
            if point.slope <= 0 and (below is None or point.x > below.x):
                below = point
            if point.slope >= 0 and (above is None or point.x < above.x):
                above = point
        passes += 1
        if below is None or above is None:
            next_points = _beyond(below, above)
            continue
        best = min(below, above, key=lambda point: abs(point.slope))
        excess = abs(best.slope) * abs(above.x - below.x)
        if excess <= tolerance:
            return Minimum(best.x, best.value, excess, passes)
        if passes >= MOST_PASSES:
            raise DataError(
                f"the minimum was found to {excess:.1e} only, not to {tolerance:.1e}: values are not precise enough, "
                "use float64"
            )
        next_points = _inside(below, above, best)


def _evaluate(curve: Callable[[Float[np.ndarray, "J"]], Curve], points: list[float]) -> list[_Point]:
    """Return the function at points; it must be finite there."""
    found = curve(np.asarray(points, np.float64))
    if not all(np.isfinite(part).all() for part in found):
        raise DataError("the function has values that are not finite: a token of the text has probability 0, or NaN")
    return [_Point(*map(float, numbers)) for numbers in zip(points, *found, strict=True)]


def _beyond(below: _Point | None, above: _Point | None) -> list[float]:
    """Return points on the side where no slope of the other sign was seen yet."""
    if below is not None:
        if below.x >= LARGEST:
            raise DataError("there is no minimum: each target is the likeliest token, so sharper is always better")
        return [below.x * 2, min(below.x * 8, LARGEST)]
    assert above is not None, "a slope has a sign"
    if above.x <= SMALLEST:
        raise DataError("there is no minimum above 0: a uniform distribution predicts the text better than the model")
    return [above.x / 2, max(above.x / 8, SMALLEST)]


def _inside(below: _Point, above: _Point, best: _Point) -> list[float]:
    """Return the next three points of a bracket."""
    secant = below.x - below.slope * (above.x - below.x) / (above.slope - below.slope)
    newton = best.x - best.slope / best.curvature if best.curvature > 0 else secant
    middle = (below.x + above.x) / 2
    return [x if below.x < x < above.x else middle for x in (newton, secant, middle)]
