"""Singular values of an Elman network's Jacobians, of one step and of products, by free probability.

With ``J = D Wᵀ``, D diagonal with the slopes φ', squared singular values of J have the law of the free product of the
law of φ'² and that of ``W Wᵀ``; those of ``J_ℓ … J_1`` that of ℓ such factors (Pennington, Schoenholz & Ganguli 2017,
section 2). S-transforms of factors multiply: 1/(g² (1 + m)) for a Gaussian W, 1/g² for an orthogonal one of gain g, and
for φ'² the one given implicitly by ``m = ⟨φ'²/(s - φ'²)⟩``. With ``λ G(λ) = 1 + m``,

    λ = (1 + m)/m · (g² s m)^ℓ         for a Gaussian W,
    λ = (1 + m)/m · (g² s m/(1 + m))^ℓ  for an orthogonal one,

and the density is ``-Im m/(π λ)``. The factors may have the same W: powers of a Gaussian matrix have the singular
values of products of independent ones.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.cells.cell import check_choice, check_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.mean_field.simple_network import SimpleNetwork

MATRICES = ("gaussian", "orthogonal")
#: Steps of the angle from the negative to the positive real axis.
_ANGLES = 90
_NEWTON_STEPS = 3


class SingularMoments(NamedTuple):
    """Moments of the squared singular values σ² of a Jacobian."""

    mean: float
    """⟨σ²⟩."""
    mean_square: float
    """⟨σ⁴⟩."""


class SingularDensity(NamedTuple):
    """Density of the singular values of a Jacobian, over ``ln σ``."""

    log_singular_values: np.ndarray
    """``ln σ`` in nats, rising."""
    density: np.ndarray
    """Share of singular values per nat; NaN where the equation was not solved to 1e-6."""
    mass_at_zero: float
    """Share of singular values that are 0."""
    upper_edge: float
    """``ln σ`` of the largest singular value."""

    def cumulative(self) -> np.ndarray:
        """Return the share of singular values up to each ``ln σ``, by the trapezoidal rule from the upper edge down."""
        steps = np.diff(self.log_singular_values) * (self.density[1:] + self.density[:-1]) / 2
        return 1.0 - np.append(np.cumsum(steps[::-1])[::-1], 0.0)


def singular_moments(network: SimpleNetwork, depth: int = 1, matrix: str = "gaussian") -> SingularMoments:
    """Return moments of the squared singular values of ``J_ℓ … J_1``: ``⟨σ²⟩ = χ^ℓ``, ``⟨σ⁴⟩ = χ^2ℓ (1 + ℓ κ)``.

    κ is ``⟨φ'⁴⟩/⟨φ'²⟩² - 1``, and 1 more for a Gaussian W (Pennington et al. 2017, section 2.5).

    Args:
        network: the theory of the network, from ``elman``.
        depth: ℓ, the number of steps.
        matrix: W: "gaussian", or "orthogonal" times g.

    Raises:
        ArgumentError: for another matrix, or a depth that is not positive.
    """
    depth = check_size("depth", depth)
    gaussian = check_choice("matrix", matrix, MATRICES) == "gaussian"
    values, weights = network.slopes()
    mean = float(weights @ values)
    if mean == 0:
        return SingularMoments(0.0, 0.0)
    kappa = float(weights @ values**2) / mean**2 - 1 + gaussian
    return SingularMoments(network.chi**depth, network.chi ** (2 * depth) * (1 + depth * kappa))


def singular_density(
    network: SimpleNetwork, depth: int = 1, matrix: str = "gaussian", *, log_singular_values: ArrayLike | None = None
) -> SingularDensity:
    """Return the density of the singular values of ``J_ℓ … J_1`` for N → ∞.

    Args:
        network: the theory of the network, from ``elman``.
        depth: ℓ, the number of steps.
        matrix: W: "gaussian", or "orthogonal" times g.
        log_singular_values: points ``ln σ``; unless given, 250 up to the largest one, which lie closest there.

    Raises:
        ArgumentError: for another matrix, a depth that is not positive, a gain of 0, one step of an orthogonal W, whose
            singular values are ``g |φ'|`` (``network.slopes()``), or an orthogonal W without an activation.
    """
    depth = check_size("depth", depth)
    gaussian = check_choice("matrix", matrix, MATRICES) == "gaussian"
    values, weights = network.slopes()
    if network.gain == 0:
        raise ArgumentError("`gain` is 0, and all singular values are: they have no density")
    if not gaussian and (depth == 1 or values.min() == values.max()):
        raise ArgumentError(
            "singular values of one step with an orthogonal `matrix` are g|φ'|, and of an orthogonal matrix itself are "
            "all equal: take `network.slopes()`, or a `depth` of 2 or more with an activation"
        )
    largest = values.max()
    values = values / largest
    family = _Family(values, weights, depth, gaussian)
    scale = 0.5 * depth * np.log(network.gain**2 * largest)
    edge = family.upper_edge()
    if log_singular_values is None:
        below = np.linspace(0, 1, 250)[::-1] ** 2 * (4.0 + 3.0 * depth)
        logs = 0.5 * np.log(edge) - below
    else:
        logs = np.sort(np.asarray(log_singular_values, float)) - scale
    inside = np.exp(2 * logs) < edge
    density = np.zeros(logs.shape)
    squared = np.exp(2 * logs[inside])
    density[inside] = np.maximum(-2 / np.pi * np.imag(family.shifted(squared)), 0)  # dλ/dlnσ = 2 λ
    zero = float(weights[values == 0].sum())
    return SingularDensity(logs + scale, density, zero, float(0.5 * np.log(edge) + scale))


class _Family(NamedTuple):
    """The map from s to λ for g = 1 and slopes of at most 1."""

    values: np.ndarray
    weights: np.ndarray
    depth: int
    gaussian: bool

    def moments(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``m(s)``, ``1 + m`` without cancellation, and ``dm/ds``."""
        share = 1 / (s[:, None] - self.values)
        return (
            share @ (self.weights * self.values),
            s * (share @ self.weights),
            -(share**2) @ (self.weights * self.values),
        )

    def log_eigenvalue(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``ln λ`` up to multiples of 2πi, and its derivative along ``ln s``."""
        m, more, slope = self.moments(s)
        own = 1 if self.gaussian else 1 - self.depth  # power of 1 + m
        logs = own * np.log(more) + (self.depth - 1) * np.log(m) + self.depth * np.log(s)
        return logs, self.depth + s * slope * (own / more + (self.depth - 1) / m)

    def upper_edge(self) -> float:
        """Return the largest λ of the support: the least value of the map right of all slopes."""
        logs, least = np.linspace(-30, 12, 4000), 0.0
        for _ in range(6):
            found = np.real(self.log_eigenvalue(1 + np.exp(logs))[0])
            best = int(np.argmin(found))
            least = float(found[best])
            logs = np.linspace(logs[max(best - 1, 0)], logs[min(best + 1, len(logs) - 1)], 60)
        return float(np.exp(least))

    def shifted(self, squared: np.ndarray) -> np.ndarray:
        """Return ``m = λ G(λ) - 1`` above the real axis at each λ.

        Solved on the negative real axis, where the map rises, and followed at constant |λ| over the upper half plane,
        in which the law has no singularity.
        """
        target = np.log(squared)
        low, high = np.full(target.shape, -700.0), np.full(target.shape, 700.0)
        for _ in range(80):
            middle = (low + high) / 2
            small = self._modulus(-np.exp(middle)) < target
            low, high = np.where(small, middle, low), np.where(small, high, middle)
        log_s = (low + high) / 2 + 1j * np.pi
        angles = np.pi * np.cos(np.linspace(0, np.pi / 2, _ANGLES))[1:-1]  # steps are short near the negative axis
        error = np.zeros(target.shape, complex)
        for angle in [*angles, 1e-3, 1e-5, 1e-7, 0.0]:
            for _ in range(_NEWTON_STEPS):
                logs, slope = self.log_eigenvalue(np.exp(log_s))
                error = logs - target - 1j * angle
                error = error.real + 1j * ((error.imag + np.pi) % (2 * np.pi) - np.pi)
                log_s = log_s - error / slope
        return np.where(np.abs(error) < 1e-6, self.moments(np.exp(log_s))[0], np.nan)

    def _modulus(self, s: np.ndarray) -> np.ndarray:
        """Return ``ln|λ|`` on the negative real axis."""
        m, more, _ = self.moments(s)
        own = 1 if self.gaussian else 1 - self.depth
        return own * np.log(more) + (self.depth - 1) * np.log(-m) + self.depth * np.log(-s)
