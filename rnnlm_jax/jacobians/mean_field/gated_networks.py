"""Mean-field theory of GRUs and LSTMs without time-varying input, at the fixed point of a wide random network.

All recurrent matrices have independent entries ``N(0, g²/N)``, all biases the same variance about their means. At a
fixed point the pre-activation of each gate is ``N(mean, v)`` over units, ``v = g² Q + σ_b²`` with ``Q = E[h²]``, gates
are independent of each other, and Q follows from itself. The law of the step Jacobian over units follows, with its
moments, the density of its singular values, and whether the fixed point is stable.

Can, Krishnamurthy & Schwab 2020 (spectra of gated networks at fixed points); Gilboa et al. 2019 (their moments). The
theory of both with time-varying inputs or in the chaotic phase, where gates are correlated over time, is not here.
"""

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnlm_jax.cells.cell import check_number, check_positive
from rnnlm_jax.jacobians.mean_field.nonlinearities import sigmoid, sigmoid_slope, tanh_slope
from rnnlm_jax.jacobians.mean_field.step_law import StepLaw

#: Values of the law of units. Each is a point of a quasi-random sequence; means are exact to about 1e-3.
VALUES = 4096


class GatedFixedPoint(NamedTuple):
    """A fixed point of a wide random gated network, see ``gru`` and ``lstm``."""

    gain: float
    """g."""
    square: float
    """``Q = E[h²]`` over units."""
    law: StepLaw
    """The law of the step Jacobian over units."""

    @property
    def chi(self) -> float:
        """Mean squared singular value of the step Jacobian of the full state."""
        return self.law.chi

    @property
    def feedback(self) -> float:
        """``E[((1 - A)⁻¹ Σ (1 - A)⁻ᵀ)₀₀]``: the fixed point is stable below 1, and loses stability at 1.

        A constant perturbation of the recurrent products changes them by this factor in mean square once the units have
        followed. The largest Lyapunov exponent itself has no limit as N grows: below 1 it nears the log of the gate
        that is widest open among N units.
        """
        return self.law.feedback(1.0)


def gru(
    gain: float, *, update_bias: float = 0.0, reset_bias: float = 0.0, bias_variance: float = 0.0
) -> GatedFixedPoint:
    """Return the fixed point of a GRU whose reset gate comes after the recurrent product.

    With ``r = σ(N(b_r, v))``, ``y ~ N(0, g² Q)`` and ``b ~ N(0, σ_b²)`` the state is the candidate,
    ``h = n = tanh(b + r y)``, and the Jacobian within a unit and its noise are

        A = u,    Σ = g² (1 - u)² n'² (r² + y² r'²),    u = σ(N(b_u, v)).

    The edge of stability, ``g² E[n'² (r² + y² r'²)] = 1``, does not depend on the update gate.

    Args:
        gain: g.
        update_bias: b_u, the mean bias of the gate that keeps the state.
        reset_bias: b_r.
        bias_variance: σ_b², of every bias.

    Raises:
        ArgumentError: for a number that is not finite, or a negative gain or variance.
    """
    _check(gain, bias_variance, update_bias=update_bias, reset_bias=reset_bias)
    z = normal_points(4)
    deviation = math.sqrt(bias_variance)

    def parts(square: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return r's pre-activation, y and the candidate's pre-activation."""
        a_r = reset_bias + math.sqrt(gain**2 * square + bias_variance) * z[0]
        y = gain * math.sqrt(square) * z[1]
        return a_r, y, deviation * z[2] + sigmoid(a_r) * y

    square = _largest_fixed_point(lambda q: float(np.mean(np.tanh(parts(q)[2]) ** 2)))
    a_r, y, candidate = parts(square)
    u = sigmoid(update_bias + math.sqrt(gain**2 * square + bias_variance) * z[3])
    noise = gain**2 * (1 - u) ** 2 * tanh_slope(candidate) ** 2 * (sigmoid(a_r) ** 2 + (y * sigmoid_slope(a_r)) ** 2)
    return GatedFixedPoint(gain, square, _law(u[:, None, None], noise[:, None, None]))


def lstm(gain: float, *, forget_bias: float = 1.0, bias_variance: float = 0.0) -> GatedFixedPoint:
    """Return the fixed point of an LSTM.

    With gates i, f, o and candidate n of independent ``N(·, v)``, ``c = i n/(1 - f)`` and ``h = o tanh c``. With
    ``E = o sech² c``, the Jacobian of (h, c) within a unit and its noise are

        A = [[0, E f], [0, f]],    Σ = [[E² s + t, E s], [E s, s]],
        s = g² (c² f'² + n² i'² + i² n'²),    t = g² tanh² c o'².

    Args:
        gain: g.
        forget_bias: mean bias of the forget gate; all others have mean 0.
        bias_variance: σ_b², of every bias.

    Raises:
        ArgumentError: for a number that is not finite, or a negative gain or variance.
    """
    _check(gain, bias_variance, forget_bias=forget_bias)
    z = normal_points(4)

    def parts(square: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the pre-activations of i, f, n and o, and c."""
        i, f, n, o = math.sqrt(gain**2 * square + bias_variance) * z
        f = f + forget_bias
        return i, f, n, o, sigmoid(i) * np.tanh(n) / sigmoid(-f)

    def next_square(square: float) -> float:
        *_, o, c = parts(square)
        return float(np.mean((sigmoid(o) * np.tanh(c)) ** 2))

    square = _largest_fixed_point(next_square)
    i, f, n, o, c = parts(square)
    s = (c * sigmoid_slope(f)) ** 2 + (np.tanh(n) * sigmoid_slope(i)) ** 2 + (sigmoid(i) * tanh_slope(n)) ** 2
    s, t = gain**2 * s, gain**2 * (np.tanh(c) * sigmoid_slope(o)) ** 2
    e = sigmoid(o) * tanh_slope(c)
    keep, none = sigmoid(f), np.zeros_like(s)
    within = np.moveaxis(np.array([[none, e * keep], [none, keep]]), -1, 0)
    noise = np.moveaxis(np.array([[e**2 * s + t, e * s], [e * s, s]]), -1, 0)
    return GatedFixedPoint(gain, square, _law(within, noise))


def normal_points(dimensions: int, count: int = VALUES) -> np.ndarray:
    """Return points ``[dimensions, count]`` of independent standard normal variables, from an additive recurrence.

    Multiples of powers of the root of ``x^(d+1) = x + 1``, modulo 1, are spread evenly over the unit cube. Their normal
    quantiles are made exactly uncorrelated, with mean squares of 1.
    """
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    uniform = (0.5 + np.arange(1, count + 1) * steps[:, None]) % 1
    inverse = statistics.NormalDist().inv_cdf
    points = np.vectorize(inverse, otypes=[float])(uniform)
    return np.linalg.solve(np.linalg.cholesky(points @ points.T / count), points)


def _largest_fixed_point(function: Callable[[float], float], start: float = 1.0) -> float:
    """Return the largest fixed point below ``start`` of a function that never falls; below 1e-9 it is returned as 0."""
    value = start
    for _ in range(5000):
        following = function(value)
        if abs(following - value) <= 1e-10 * value:
            return following
        value = following
        if value < 1e-9:
            return 0.0
    return value


def _law(within: np.ndarray, noise: np.ndarray) -> StepLaw:
    return StepLaw(within, noise, np.full(len(within), 1 / len(within)))


def _check(gain: float, bias_variance: float, **biases: float) -> None:
    check_positive("gain", gain, or_zero=True)
    check_positive("bias_variance", bias_variance, or_zero=True)
    for name, value in biases.items():
        check_number(name, value)
