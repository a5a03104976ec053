"""Step Jacobians of gated networks, ``J = A + X``: A within units, X from all hidden states, of independent weights.

A unit has P numbers of state (1; 2 for an LSTM: hidden, then cell). ``A_i``, P × P, is its Jacobian at fixed products
with the recurrent matrices. X is Gaussian given the states: row p of unit i depends on the hidden number of every unit
j with coefficients of mean 0 and covariance ``Σ_i/N`` over p, the sum over gates of squared slopes times g². As N
grows, spectra depend on the joint law of (A_i, Σ_i) over units only.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.mean_field.singular_values import SingularDensity, SingularMoments

_ANGLES, _NEWTON_STEPS = 40, 2
#: Values of the law that densities are computed with; any number in a row of a quasi-random law are spread evenly.
_VALUES = 400


class StepLaw(NamedTuple):
    """Joint law of (A, Σ) over the units of a wide network, as K values with weights."""

    within: np.ndarray
    """A ``[K, P, P]``."""
    noise: np.ndarray
    """Σ ``[K, P, P]``, positive semidefinite."""
    weights: np.ndarray
    """``[K]``, sum 1."""

    @property
    def parts(self) -> int:
        """P."""
        return self.within.shape[-1]

    @property
    def chi(self) -> float:
        """Mean squared singular value of J, ``E tr(A Aᵀ + Σ)/P``: the factor of the squared norm of a gradient."""
        return self.singular_moments().mean

    def singular_moments(self) -> SingularMoments:
        """Return moments of the squared singular values of J.

        ``P ⟨σ⁴⟩ = E tr (A Aᵀ)² + 2 E tr A AᵀΣ + 2 E (Aᵀ A)₀₀ E tr Σ + E tr Σ² + (E tr Σ)²``, by Wick's theorem.
        """
        a = self.within
        rows, columns = a @ a.swapaxes(1, 2), a.swapaxes(1, 2) @ a
        trace = self._mean(np.trace(self.noise, axis1=1, axis2=2))
        square = self._mean(np.sum(rows**2, axis=(1, 2)) + 2 * np.sum(rows * self.noise, axis=(1, 2)))
        square += 2 * self._mean(columns[:, 0, 0]) * trace
        square += self._mean(np.sum(self.noise**2, axis=(1, 2))) + trace**2
        mean = self._mean(np.trace(rows, axis1=1, axis2=2)) + trace
        return SingularMoments(mean / self.parts, square / self.parts)

    def feedback(self, z: float) -> float:
        """Return ``E[((z - A)⁻¹ Σ (z - A)⁻ᵀ)₀₀]``, which is 1 at the edge of the eigenvalues of J."""
        inverse = np.linalg.inv(z * np.eye(self.parts) - self.within)
        return self._mean(np.einsum("kp,kpq,kq->k", inverse[:, 0], self.noise, inverse[:, 0]))

    def spectral_radius(self) -> float:
        """Return the largest modulus of the eigenvalues of J for N → ∞, for A with real eigenvalues of 0 or more.

        They fill the z at which the feedback exceeds 1 (Ahmadian, Fumarola & Miller 2015), and those of A. Where A has
        a long tail over units, that depends on the K values of the law as the radius of a finite network does on its N.
        """
        own = float(np.max(np.linalg.eigvals(self.within).real))
        low = max(own, 0.0) * (1 + 1e-12) + 1e-300
        if self.feedback(low) <= 1:
            return own
        high = max(1.0, 2 * low)
        while self.feedback(high) > 1:
            high *= 2
        low, high = 0.0, high - low  # above the largest eigenvalue of A
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if self.feedback(own + middle) > 1 else (low, middle)
        return own + high

    def singular_density(self, log_singular_values: ArrayLike | None = None) -> SingularDensity:
        """Return the density of the singular values of J for N → ∞.

        The resolvent of ``[[0, J], [Jᵀ, 0]]`` at z has for each unit the diagonal block

            [[z - γ Σ, -A], [-Aᵀ, z - δ e₀e₀ᵀ]]⁻¹,    γ = E[columns₀₀],    δ = E[tr(Σ rows)],

        where rows and columns are the two diagonal P × P blocks of this inverse. γ and δ are found on the imaginary
        axis, where they are unique, and followed at constant |z| down to the real one.

        Args:
            log_singular_values: points ``ln σ``; 100 unless given, from e^-6 of the largest possible one on.

        Raises:
            ArgumentError: if Σ is 0 for all units: the singular values are those of A.
        """
        if not np.any(self.noise):
            raise ArgumentError("no unit reads another: the singular values are those of `within`")
        trace = self._mean(np.trace(self.noise, axis1=1, axis2=2))
        largest = np.max(np.linalg.norm(self.within, 2, axis=(1, 2)))
        bound = largest + np.sqrt(np.max(np.trace(self.noise, axis1=1, axis2=2))) + math.sqrt(trace)
        logs = np.linspace(-6, 0, 100) + math.log(bound) if log_singular_values is None else log_singular_values
        logs = np.sort(np.asarray(logs, float))
        law = self._replace(within=self.within[:_VALUES], noise=self.noise[:_VALUES], weights=self.weights[:_VALUES])
        law = law._replace(weights=law.weights / law.weights.sum())
        density = np.maximum(-2 / np.pi * np.exp(logs) * law._row_resolvent(np.exp(logs)).imag, 0)
        inside = np.flatnonzero(np.nan_to_num(density, nan=1.0) > 1e-6)
        edge = float(logs[inside[-1]]) if inside.size else -math.inf
        return SingularDensity(logs, density, 0.0, edge)

    def _row_resolvent(self, sigma: np.ndarray) -> np.ndarray:
        """Return the mean diagonal of the rows' resolvent just above the real axis at each σ; NaN if unsolved."""
        trace = self._mean(np.trace(self.noise, axis1=1, axis2=2))
        unknown = np.stack([1 / (1j * sigma), trace / (1j * sigma)])
        for _ in range(60):
            unknown = 0.5 * (unknown + self._means(1j * sigma, unknown)[0])
        angles = np.pi / 2 * (1 - np.linspace(0, 1, _ANGLES) ** 0.5)[1:-1]
        rest = np.full(sigma.shape, np.inf)
        for angle in [*angles, 1e-3, 1e-4, 1e-5]:
            z = sigma * np.exp(1j * angle)
            for _ in range(_NEWTON_STEPS):
                error, slopes = self._newton(z, unknown)
                rest = np.abs(error).max(axis=0)
                unknown = unknown - np.linalg.solve(slopes, error.T[..., None])[..., 0].T
        rows = self._means(z, unknown)[1]
        return np.where(rest < 1e-6 * (1 + np.abs(unknown).max(axis=0)), rows, np.nan)

    def _newton(self, z: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return errors ``[2, S]`` of the equations and their derivatives ``[S, 2, 2]``."""
        error = unknown - self._means(z, unknown)[0]
        slopes = np.empty((len(z), 2, 2), complex)
        for k in range(2):
            step = 1e-6 * (np.abs(unknown[k]) + 1e-12)
            moved = unknown.copy()
            moved[k] += step
            slopes[:, :, k] = ((moved - self._means(z, moved)[0] - error) / step).T
        return error, slopes

    def _means(self, z: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the right sides of the equations of (γ, δ) ``[2, S]``, and the mean diagonal of the rows ``[S]``."""
        gamma, delta = unknown
        if self.parts == 1:
            a, s = self.within[:, 0, 0], self.noise[:, 0, 0]
            row, column = z[:, None] - gamma[:, None] * s, (z - delta)[:, None]
            both = row * column - a**2
            rows = column / both
            return np.stack([(row / both) @ self.weights, (rows * s) @ self.weights]), rows @ self.weights
        identity = np.eye(self.parts)
        first = np.zeros((self.parts, self.parts))
        first[0, 0] = 1
        found = np.empty((3, len(z)), complex)
        for n in range(len(z)):  # one point at a time, which keeps memory small
            above = z[n] * identity - gamma[n] * self.noise
            inner = _inverse(above)
            column = _inverse(z[n] * identity - delta[n] * first - self.within.swapaxes(1, 2) @ inner @ self.within)
            outer = inner @ self.within
            rows = inner + outer @ column @ outer.swapaxes(1, 2)
            found[0, n] = self._mean(column[:, 0, 0])
            found[1, n] = self._mean(np.einsum("kpq,kqp->k", rows, self.noise))
            found[2, n] = self._mean(np.trace(rows, axis1=1, axis2=2)) / self.parts
        return found[:2], found[2]

    def _mean(self, values: np.ndarray) -> float:
        return (self.weights @ values).item()


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Return inverses of 2 × 2 matrices in closed form, which is ten times as fast as LAPACK's."""
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    return np.moveaxis(np.array([[d, -b], [-c, a]]) / (a * d - b * c), -1, 0)
