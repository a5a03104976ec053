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

_ANGLES, _NEWTON_STEPS = 12, 2
#: Values of a law of 2 × 2 matrices that densities are computed with; shares are exact to about 0.01.
_VALUES = 500


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
        axis, where they are unique, and followed at constant ``|z|`` down to the real one.

        Args:
            log_singular_values: points ``ln σ``; unless given, some 200 from e^-6 of the largest possible one on,
                closest where A and Σ have their values.

        Raises:
            ArgumentError: if Σ is 0 for all units (the singular values are those of A), or so small that the density
                has peaks as narrow as the spacing of the K values.
        """
        if not np.any(self.noise):
            raise ArgumentError("no unit reads another: the singular values are those of `within`")
        logs = self._points() if log_singular_values is None else log_singular_values
        logs = np.sort(np.asarray(logs, float))
        few = slice(None if self.parts == 1 else _VALUES)
        law = StepLaw(self.within[few], self.noise[few], self.weights[few] / self.weights[few].sum())
        density = np.maximum(-2 / np.pi * np.exp(logs) * np.imag(law._row_resolvent(np.exp(logs))), 0)
        if log_singular_values is None:
            found = float(np.trapezoid(density * np.exp(2 * logs), logs))
            if not abs(found - self.chi) <= 0.05 * self.chi:  # NaN too
                raise ArgumentError(
                    "the density has peaks as narrow as the spacing of the law's values, as of wide open gates: "
                    "take `singular_moments()`"
                )
        inside = np.flatnonzero(np.nan_to_num(density, nan=1.0) > 1e-6)
        edge = float(logs[inside[-1]]) if inside.size else -math.inf
        rank = np.linalg.matrix_rank(np.concatenate([self.within, self.noise], axis=2))
        return SingularDensity(logs, density, 1 - self._mean(rank) / self.parts, edge)

    def _points(self) -> np.ndarray:
        """Return ``ln σ`` that cover all singular values, closest at those of A and at the roots of tr Σ."""
        strength = np.sqrt(np.trace(self.noise, axis1=1, axis2=2))
        own = np.linalg.svd(self.within, compute_uv=False)
        largest = math.log(own.max() + strength.max() + math.sqrt(self._mean(strength**2)))
        shares = np.linspace(0.002, 0.998, 70)
        peaks = [np.quantile(each[each > 0], shares) for each in (own, strength) if np.any(each > 0)]
        logs = np.concatenate([np.linspace(largest - 6, largest, 70), *(np.log(each) for each in peaks)])
        logs = np.unique(logs[logs >= largest - 6])
        return logs[np.append(True, np.diff(logs) > 1e-5)]

    def _row_resolvent(self, sigma: np.ndarray) -> np.ndarray:
        """Return the mean diagonal of the rows' resolvent just above the real axis at each σ; NaN if unsolved."""
        trace = self._mean(np.trace(self.noise, axis1=1, axis2=2))
        unknown = np.stack([1 / (1j * sigma), trace / (1j * sigma)])
        for _ in range(25):
            unknown = 0.5 * (unknown + self._means(1j * sigma, unknown)[0])
        angles = np.pi / 2 * (1 - np.linspace(0, 1, _ANGLES) ** 0.5)[1:-1]
        z, rest = 1j * sigma, np.full(sigma.shape, np.inf)
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
        across = (..., None, None, None)  # points over values and matrices
        first = np.zeros((self.parts, self.parts))
        first[0, 0] = 1
        diagonal = z[across] * np.eye(self.parts)
        inner = _inverse(diagonal - gamma[across] * self.noise)
        columns = _inverse(diagonal - delta[across] * first - self.within.swapaxes(1, 2) @ inner @ self.within)
        outer = inner @ self.within
        rows = inner + outer @ columns @ outer.swapaxes(-1, -2)
        delta = np.sum(rows * self.noise, axis=(-1, -2)) @ self.weights
        own = np.trace(rows, axis1=-2, axis2=-1) @ self.weights / self.parts
        return np.stack([columns[..., 0, 0] @ self.weights, delta]), own

    def _mean(self, values: np.ndarray) -> float:
        return (self.weights @ values).item()


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Return inverses of 2 × 2 matrices ``[*, 2, 2]`` in closed form, which is ten times as fast as LAPACK's."""
    a, b, c, d = (matrices[..., p, q] for p in range(2) for q in range(2))
    inverse = np.empty_like(matrices)
    inverse[..., 0, 0], inverse[..., 0, 1], inverse[..., 1, 0], inverse[..., 1, 1] = d, -b, -c, a
    return inverse / (a * d - b * c)[..., None, None]
