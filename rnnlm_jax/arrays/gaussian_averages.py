"""Averages over normal variables, by Gauss's rule on short intervals.

A Gauss–Hermite rule of fixed order loses digits where a function changes on a scale that is short beside the standard
deviation, or has a kink. Here the intervals end at 0, are at most one standard deviation long, and at most 2 or as long
as they are far from 0, so that functions with poles no nearer than ``±iπ/2``, on the imaginary axis (tanh, the
sigmoid), and relu are averaged to about 1e-13, at any variance.
"""

import math
from collections.abc import Callable

import numpy as np

#: A function of each number of an array.
Elementwise = Callable[[np.ndarray], np.ndarray]

#: Standard deviations on each side; a normal variable is beyond with a probability of 1e-19.
REACH = 9.0
#: Stands for a variance of 0, so that nodes of both signs remain: averages are limits from above.
LEAST = 1e-200
_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(16)


def normal_rule(variance: float, mean: float = 0.0, *, refine: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes x and weights of ``N(mean, variance)``; the weights sum to 1.

    Args:
        variance: of the variable.
        mean: of the variable.
        refine: how many times shorter intervals are than smooth functions need.
    """
    deviation = math.sqrt(max(variance, LEAST))
    zero = min(max(-mean / deviation, -REACH), REACH)  # where x is 0, or nearest to it
    left, right = (_outwards(zero, end, mean, deviation, refine) for end in (-REACH, REACH))
    edges = np.array([*left[:0:-1], *right])
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (1 + _POINTS)).ravel()
    weights = (half * _POINT_WEIGHTS).ravel() * np.exp(-0.5 * z**2)
    return mean + deviation * z, weights / weights.sum()


def _outwards(zero: float, end: float, mean: float, deviation: float, refine: int) -> list[float]:
    """Return the ends of the intervals from ``zero`` to ``end``, in standard deviations from the mean."""
    edges, sign = [zero], math.copysign(1, end)
    while sign * (end - edges[-1]) > 0:
        longest = max(2.0, abs(mean + deviation * edges[-1])) / deviation
        edges.append(edges[-1] + sign * min(1.0, longest) / refine)
    return [*edges[:-1], end] if len(edges) > 1 else edges


def gaussian_mean(function: Elementwise, variance: float, mean: float = 0.0) -> float:
    """Return ``E[f(x)]`` of ``x ~ N(mean, variance)``; for a variance of 0 the limit from above."""
    x, weights = normal_rule(variance, mean)
    return float(weights @ function(x))


def gaussian_product_mean(function: Elementwise, variance: float, correlation: float, mean: float = 0.0) -> float:
    """Return ``E[f(x₁) f(x₂)]`` of two variables ``N(mean, variance)`` with a correlation c from 0 to 1.

    With ``x₁`` and ``x₂`` the sums of a common normal variable and of one of their own, this is the mean square, over
    the common variable, of the mean over the own one. Functions with a kink are averaged to about 1e-8 for c near 1.
    """
    if correlation == 0:
        return gaussian_mean(function, variance, mean) ** 2
    common, weights = normal_rule(variance * correlation, mean)
    if correlation == 1:
        return float(weights @ function(common) ** 2)
    # A rule for each common value, so that its intervals end at 0, where relu has its kink.
    means = np.array([gaussian_mean(function, variance * (1 - correlation), x) for x in common])
    return float(weights @ means**2)
