"""Powers ``J^ℓ`` of the constant Jacobian ``J = W_hᵀ`` of a linear recurrence, in the basis of its eigenvectors.

They show why gradients vanish or explode: a component along an eigenvector is multiplied by λ at every step, so it
vanishes for ``|λ| < 1`` and explodes for ``|λ| > 1`` (Pascanu, Mikolov & Bengio 2013, section 2.1). The functions run
on the host, in NumPy, since accelerators do not compute eigenvalues of non-symmetric matrices.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import on_host, real_array, result_dtype


class Eigenbasis(NamedTuple):
    """``J = V diag(λ) V⁻¹`` with eigenvalues by descending modulus."""

    eigenvalues: np.ndarray
    """λ, complex [n]."""
    vectors: np.ndarray
    """V, complex [n, n], with eigenvectors of length one in its columns."""
    inverse: np.ndarray
    """V⁻¹; all NaN if V is exactly singular."""
    condition_number: float
    """κ(V) = ‖V‖₂ ‖V⁻¹‖₂, 1 for a normal matrix; ``‖J^ℓ‖`` exceeds ``max |λ|^ℓ`` by at most this factor."""


def eigenbasis(matrix: ArrayLike) -> Eigenbasis:
    """Return the eigenvalues and eigenvectors of ``J``, in the matrix's own precision; O(n³), on the host.

    A defective matrix has no basis of eigenvectors: κ is infinite in exact arithmetic, and about 1/ε or more as
    computed. ``products`` computes its powers, for instance

        [[a, b], [0, a]]^ℓ = [[a^ℓ, ℓ a^(ℓ-1) b], [0, a^ℓ]],

    which may grow at first, even if the spectral radius ``|a|`` is below 1, and vanishes in the end.

    Args:
        matrix: J, for a linear cell ``params.w_h.T``.

    Raises:
        ArgumentError: if the matrix is not square, or not finite.
    """
    j = np.asarray(on_host(real_array(matrix, "matrix"), "an eigenbasis is computed"))
    j = j.astype(result_dtype(j.dtype) if jnp.issubdtype(j.dtype, jnp.floating) else np.float64)
    if j.ndim != 2 or j.shape[0] != j.shape[1]:
        raise ArgumentError(f"`matrix` must be square, [n, n], not of shape {j.shape}")
    if not np.isfinite(j).all():
        raise ArgumentError("`matrix` is not finite: it has no eigenvalues")
    eigenvalues, vectors = np.linalg.eig(j)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")
    as_complex = np.result_type(vectors, np.complex64)
    eigenvalues, vectors = eigenvalues[order].astype(as_complex), vectors[:, order].astype(as_complex)
    try:
        inverse = np.linalg.inv(vectors)
    except np.linalg.LinAlgError:
        inverse = np.full_like(vectors, np.nan)
    return Eigenbasis(eigenvalues, vectors, inverse, float(np.linalg.cond(vectors)))


def power(basis: Eigenbasis, lag: int) -> np.ndarray:
    """Return ``J^ℓ = V diag(λ^ℓ) V⁻¹``, real ``[n, n]``, with an error of about κ(V) ε times ``max |λ|^ℓ``.

    Args:
        basis: V and λ, see ``eigenbasis``.
        lag: ℓ, at least 0.

    Raises:
        ArgumentError: for a negative lag, for a matrix that is numerically defective (κ(V) ε reaches 1), or if a power
            of an eigenvalue overflows.
    """
    _check_lags([lag])
    if not basis.condition_number * np.finfo(basis.vectors.dtype).eps < 1:
        raise ArgumentError("`basis` is that of a defective matrix: take its powers from products")
    with np.errstate(over="ignore", invalid="ignore"):
        powers = basis.eigenvalues**lag
    if not np.isfinite(powers).all():
        raise ArgumentError(f"the power at lag {lag} is beyond the range of {powers.dtype}: take it from products")
    return np.real((basis.vectors * powers) @ basis.inverse)


def log_component_moduli(basis: Eigenbasis, lags: Sequence[int]) -> np.ndarray:
    """Return ``ℓ ln|λ_k|`` in nats, ``[L, n]``: the log growth of each component in the eigenbasis after ℓ steps.

    Args:
        basis: eigenvalues and eigenvectors of J, see ``eigenbasis``.
        lags: L numbers of steps, at least 0.

    Raises:
        ArgumentError: for a negative lag.
    """
    _check_lags(lags)
    with np.errstate(divide="ignore"):
        rates = np.log(np.abs(basis.eigenvalues))
    steps = np.asarray(lags, rates.dtype)[:, None]
    return np.where(steps == 0, 0, np.where(steps == 0, 1, steps) * rates)  # λ^0 = 1, also for λ = 0


def _check_lags(lags: Sequence[int]) -> None:
    if not all(isinstance(lag, int | np.integer) for lag in lags):
        raise ArgumentError(f"lags are numbers of steps and must be integers, not {list(lags)}")
    if any(lag < 0 for lag in lags):
        raise ArgumentError(f"lags are numbers of steps and must not be negative: {list(lags)}")
