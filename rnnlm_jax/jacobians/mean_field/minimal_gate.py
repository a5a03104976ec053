"""Mean-field theory of the minimalRNN (Chen, Pennington & Schoenholz 2018), for weights drawn anew at every step."""

import math
from collections.abc import Callable
from typing import NamedTuple

from rnnlm_jax.arrays.gaussian_averages import gaussian_mean, gaussian_product_mean
from rnnlm_jax.cells.cell import check_number, check_positive
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.mean_field.nonlinearities import sigmoid, sigmoid_slope


class MinimalNetwork(NamedTuple):
    """A wide random minimalRNN in its stationary state, see ``minimalrnn``."""

    gain: float
    """σ_w."""
    gate_bias: float
    input_variance: float
    """R."""
    code_gain: float
    """σ_v."""
    square: float
    """``Q = E[h²]``."""
    chi: float
    """Mean squared singular value of the step Jacobian."""

    @property
    def gate_variance(self) -> float:
        """Variance of the gate's pre-activation."""
        return self.gain**2 * self.square + self.code_gain**2 * self.input_variance

    @property
    def largest_exponent(self) -> float:
        """``½ ln χ``, nats a step, of the network with weights drawn anew at every step."""
        return 0.5 * math.log(self.chi)


def minimalrnn(
    gain: float, *, gate_bias: float = 0.0, input_variance: float, code_gain: float = 1.0, start: float = 0.0
) -> MinimalNetwork:
    """Return the mean-field theory of ``h_t = u_t h_{t-1} + (1 - u_t) n_t``, ``u_t = σ(h_{t-1} W_h + n_t W_n + b_u)``.

    With codes n_t of mean 0 and variance R, independent over steps and units, and entries of W_h and W_n
    ``N(0, σ_w²/N)`` and ``N(0, σ_v²/N)``, the gate's pre-activation is ``N(b_u, σ_w² Q + σ_v² R)`` and

        Q' = E[u²] Q + E[(1 - u)²] R,    χ = E[u²] + σ_w² E[u'²] (Q + R).

    The gate is taken to be independent of the state that it multiplies, as if weights were drawn anew at every step;
    with the same weights at all steps it is correlated with that state: χ differs by up to 8 % along the critical line
    for biases from -2 to 3, and Q by more where gates are open.

    ``cells.minimalrnn.critical_gain`` is the gain at which χ is 1 at a fixed point. With R = 0.4 and a bias of 4 or
    more that one is unstable, between two stable ones: states that start at 0 come to the lower, where χ is a little
    below 1, and large ones to the upper, where it is above 1.

    Args:
        gain: σ_w.
        gate_bias: b_u.
        input_variance: R, the mean square of codes ``tanh(x W_x + b)``; at most 1.
        code_gain: σ_v.
        start: E[h²] of the first state, which decides where there are several fixed points.

    Raises:
        ArgumentError: for a number that is negative or not finite, or a variance of codes that is not from 0 to 1.
    """
    check_number("gate_bias", gate_bias)
    for name, value in {"gain": gain, "input_variance": input_variance, "code_gain": code_gain, "start": start}.items():
        check_positive(name, value, or_zero=True)
    if input_variance > 1:
        raise ArgumentError(f"`input_variance` must be at most 1, as of a tanh, not {input_variance}")
    given = code_gain**2 * input_variance

    def following(square: float) -> float:
        """Return the Q that gates of this Q lead to when they stay the same; it rises with Q and is at most R."""
        variance = gain**2 * square + given
        written = gaussian_mean(lambda e: sigmoid(-e) ** 2, variance, gate_bias)
        lost = gaussian_mean(lambda e: sigmoid(-e) * (1 + sigmoid(e)), variance, gate_bias)  # 1 - u²
        return input_variance * written / lost

    high = _next_fixed_point(following, max(start, 1e-12), input_variance)
    variance = gain**2 * high + given
    kept = gaussian_mean(lambda e: sigmoid(e) ** 2, variance, gate_bias)
    slopes = gaussian_mean(lambda e: sigmoid_slope(e) ** 2, variance, gate_bias)
    chi = kept + gain**2 * slopes * (high + input_variance)
    return MinimalNetwork(gain, gate_bias, input_variance, code_gain, high, chi)


def _next_fixed_point(function: Callable[[float], float], start: float, largest: float) -> float:
    """Return the fixed point, of a function that never falls, to which iterations from ``start`` rise or fall."""
    rises = function(start) > start
    factor, value = (1.02 if rises else 1 / 1.02), start
    while value < largest if rises else value > 1e-12:
        following = value * factor
        if (function(following) > following) != rises:
            break
        value = following
    low, high = sorted((value, value * factor))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > middle else (low, middle)
    return high


def minimal_correlation_map(network: MinimalNetwork, correlation: float) -> float:
    """Return the correlation one step on of two states with the same codes; its slope at 1 is χ.

    ``Q c' = E[u₁ u₂] Q c + E[(1 - u₁)(1 - u₂)] R``, where the pre-activations of the two gates have the covariance
    ``σ_w² Q c + σ_v² R``.

    Raises:
        ArgumentError: if the correlation is not from 0 to 1, or Q is 0.
    """
    check_positive("correlation", correlation, or_zero=True)
    if correlation > 1 or network.square == 0:
        raise ArgumentError(f"`correlation` must be from 0 to 1, of states that are not all 0, not {correlation}")
    variance = network.gate_variance
    of_gates = (network.gain**2 * network.square * correlation + variance - network.gain**2 * network.square) / variance
    of_gates = min(of_gates, 1.0)
    kept = gaussian_product_mean(sigmoid, variance, of_gates, network.gate_bias)
    written = gaussian_product_mean(lambda e: sigmoid(-e), variance, of_gates, network.gate_bias)
    return kept * correlation + written * network.input_variance / network.square
