"""Mean-field theory of Elman networks: variance, correlation, χ and Lyapunov exponents as the width grows."""

import math
from typing import NamedTuple

import numpy as np

from rnnlm_jax.arrays.gaussian_averages import LEAST, gaussian_mean, gaussian_product_mean, normal_rule
from rnnlm_jax.cells.cell import check_choice, check_positive
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.mean_field.nonlinearities import NONLINEARITIES, Nonlinearity


class SimpleNetwork(NamedTuple):
    """A wide random Elman network in its stationary state, see ``elman``."""

    gain: float
    """g."""
    activation: str
    bias_variance: float
    """σ_b²."""
    input_variance: float
    """σ_x²."""
    variance: float
    """q*, of the pre-activations."""
    variance_slope: float
    """∂q'/∂q of the variance map at q*; below 1 where q* is stable."""
    chi: float
    """``χ = g² ⟨φ'²⟩``, the mean squared singular value of the step Jacobian."""

    @property
    def phi(self) -> Nonlinearity:
        """The activation function."""
        return NONLINEARITIES[self.activation]

    @property
    def largest_exponent(self) -> float:
        """``λ_1 = ½ ln χ``, nats a step."""
        return 0.5 * _log(self.chi)

    @property
    def mean_exponent(self) -> float:
        """``ln g - ½ + ⟨ln|φ'|⟩``, the mean of all exponents, nats a step; -inf for relu."""
        return _log(self.gain) - 0.5 + gaussian_mean(self.phi.log_slope, self.variance)

    @property
    def correlation(self) -> float:
        """c*, to which two trajectories with the same inputs and biases come; 1 where they meet."""
        return _correlation(self, self.bias_variance + self.input_variance)

    @property
    def correlation_slope(self) -> float:
        """∂c'/∂c of the correlation map at c*; χ at c* = 1."""
        return self.gain**2 * gaussian_product_mean(self.phi.slope, self.variance, self.correlation)

    @property
    def autocorrelation(self) -> float:
        """Correlation of a unit's pre-activations at two times, the same for every lag of 1 or more."""
        return _correlation(self, self.bias_variance)

    @property
    def correlation_length(self) -> float:
        """``-1 / ln(slope)``, steps over which the correlation of two trajectories nears c* e-fold; inf at χ = 1."""
        return decay_length(self.correlation_slope)

    @property
    def variance_length(self) -> float:
        """``-1 / ln(variance_slope)``, steps over which a variance nears q* e-fold."""
        return decay_length(self.variance_slope)

    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return values φ'² and their weights: the law of the squared slopes."""
        x, weights = normal_rule(self.variance, refine=2)  # densities see single values, means do not
        return self.phi.slope(x) ** 2, weights


def elman(
    gain: float,
    activation: str = "tanh",
    *,
    bias_variance: float = 0.0,
    input_variance: float = 0.0,
    start: float = 1.0,
) -> SimpleNetwork:
    """Return the mean-field theory of ``h_t = φ(h_{t-1} W + x_t W_x + b)`` for N → ∞.

    With ``W_ij ~ N(0, g²/N)``, ``b_i ~ N(0, σ_b²)`` and projected inputs ``N(0, σ_x²)``, independent over units and
    steps, the pre-activations of a unit are a Gaussian process. Averages ⟨·⟩ are over ``a ~ N(0, q)``, or over two such
    variables with correlation c:

        q' = g² ⟨φ(a)²⟩ + σ_b² + σ_x²,    q c' = g² ⟨φ(a₁) φ(a₂)⟩ + σ_b² + σ_x²,    χ = g² ⟨φ'(a)²⟩.

    The correlation is that of two trajectories with the same weights, biases and inputs; a small distance between
    them grows by χ a step, so that the largest Lyapunov exponent is ``½ ln χ``. Two times of one trajectory have
    ``q c' = g² ⟨φφ⟩ + σ_b²``, one step after correlation c: their inputs differ.

    Sources: Molgedey, Schuchhardt & Schuster 1992 (the network with white input); Poole et al. 2016, equations 3 and 5;
    Schoenholz et al. 2017, section 3; Engelken, Wolf & Abbott 2020 (exponents in discrete time).

    Args:
        gain: g, √N times the standard deviation of the recurrent weights.
        activation: φ: "identity", "sigmoid", "tanh" or "relu".
        bias_variance: σ_b².
        input_variance: σ_x², of ``x_t W_x``.
        start: variance of the first pre-activations, where several fixed points are stable.

    Raises:
        ArgumentError: for an unknown activation, a number that is negative or not finite, or a gain at which the
            variance grows without bound.
    """
    check_choice("activation", activation, NONLINEARITIES)
    for name, value in {"gain": gain, "bias_variance": bias_variance, "input_variance": input_variance}.items():
        check_positive(name, value, or_zero=True)
    check_positive("start", start)
    phi = NONLINEARITIES[activation]
    fixed = bias_variance + input_variance
    q = fixed_variance(phi, gain**2, fixed, start=start)
    if math.isinf(q):
        raise ArgumentError(
            f"with `gain` {gain:g} the variance of {activation} units grows without bound: choose a smaller one"
        )
    spread = gaussian_mean(lambda x: phi.value(x) ** 2 * (x**2 / max(q, LEAST) - 1), q)
    return SimpleNetwork(
        gain,
        activation,
        bias_variance,
        input_variance,
        variance=q,
        variance_slope=gain**2 * spread / (2 * max(q, LEAST)),
        chi=gain**2 * gaussian_mean(lambda x: phi.slope(x) ** 2, q),
    )


def correlation_map(network: SimpleNetwork, correlation: float) -> float:
    """Return ``c'``, the correlation one step on of two trajectories with the same inputs (Poole et al. 2016, eq. 5).

    Raises:
        ArgumentError: if the correlation is not from 0 to 1.
    """
    check_positive("correlation", correlation, or_zero=True)
    if correlation > 1:
        raise ArgumentError(f"`correlation` must be at most 1, not {correlation}")
    return _next_correlation(network, correlation, network.bias_variance + network.input_variance)


def variance_map(network: SimpleNetwork, variance: float) -> float:
    """Return ``q'``, the variance one step after q (Poole et al. 2016, equation 3).

    Raises:
        ArgumentError: if the variance is negative or not finite.
    """
    check_positive("variance", variance, or_zero=True)
    square = gaussian_mean(lambda x: network.phi.value(x) ** 2, variance)
    return network.gain**2 * square + network.bias_variance + network.input_variance


def fixed_variance(phi: Nonlinearity, weight_variance: float, fixed: float = 0.0, *, start: float = 1.0) -> float:
    """Return q*, where ``q = σ_w² ⟨φ²⟩ + σ_b²``; inf if the variance grows without bound.

    The map never falls, so that the variances from ``start`` on rise or fall to the nearest fixed point, which is found
    by bisection. One below 1e-12 is returned as 0.

    Args:
        phi: the activation function.
        weight_variance: σ_w².
        fixed: σ_b², all variance that does not depend on q.
        start: the first variance.
    """

    def growth(q: float) -> float:
        return weight_variance * gaussian_mean(lambda x: phi.value(x) ** 2, q) + fixed - q

    if abs(growth(start)) <= 1e-13 * start:
        return start
    low, high = 0.0, start
    if growth(start) > 0:
        while growth(high) > 0:
            low, high = high, 2 * high
            if high > 1e100:
                return math.inf
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if growth(middle) > 0 else (low, middle)
    return high if high >= 1e-12 else 0.0


def _next_correlation(network: SimpleNetwork, correlation: float, shared: float) -> float:
    """Return ``(g²⟨φφ⟩ + shared) / q``, of the fixed variance only what the two have in common."""
    if network.variance == 0:  # φ is linear in the limit
        return correlation
    product = gaussian_product_mean(network.phi.value, network.variance, correlation)
    return (network.gain**2 * product + shared) / network.variance


def _correlation(network: SimpleNetwork, shared: float) -> float:
    """Return the smallest fixed point of the correlation map, which is convex; trajectories come to it from c = 0.

    At c = 1 the map has the value 1 if all of the fixed variance is shared, and the slope χ.
    """
    all_shared = shared == network.bias_variance + network.input_variance
    if network.variance == 0 or (network.chi <= 1 and all_shared):
        return 1.0

    def growth(c: float) -> float:
        return _next_correlation(network, c, shared) - c

    if growth(0.0) <= 1e-15:
        return 0.0
    below_one = (1 - 10.0**-k for k in range(1, 10))
    high = next((c for c in below_one if growth(c) < 0), None) if all_shared else 1.0
    if high is None:  # χ is so near 1 that the root cannot be told from 1
        return 1.0
    low = 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if growth(middle) > 0 else (low, middle)
    return high


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def decay_length(slope: float) -> float:
    """Return ``1 / |ln slope|``, the steps or layers over which what is multiplied by it changes e-fold; inf at 1."""
    if slope <= 0:
        return 0.0
    rate = abs(math.log(slope))
    return math.inf if rate < 1e-9 else 1 / rate
