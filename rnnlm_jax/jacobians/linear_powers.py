"""Powers of the constant Jacobian of a linear recurrence, ``J^ℓ`` with ``J = W_hᵀ``, in the basis of its eigenvectors.

Why gradients vanish or explode, in one line: a component along an eigenvector is multiplied by λ at every step, so it
dies for ``|λ| < 1`` and grows without bound for ``|λ| > 1`` (Pascanu, Mikolov & Bengio 2013, section 2.1). Functions of
the host, in NumPy: accelerators have no eigenvalues of non-symmetric matrices.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import on_host, real_array, result_dtype


class Eigenbasis(NamedTuple):
    """``J = V diag(λ) V⁻¹``, eigenvalues by descending modulus."""

    eigenvalues: np.ndarray
    """λ, complex [n]."""
    vectors: np.ndarray
    """V, complex [n, n]: eigenvectors of length one in its columns."""
    inverse: np.ndarray
    """V⁻¹; all NaN where V is exactly singular."""
    condition_number: float
    """κ(V) = ‖V‖₂ ‖V⁻¹‖₂: 1 for a normal matrix, and by how much ``‖J^ℓ‖`` may exceed ``max |λ|^ℓ`` on its way down."""


def eigenbasis(matrix: Float[Array, "n n"]) -> Eigenbasis:
    """The eigenvalues and eigenvectors of ``J``, for a linear cell ``params.w_h.T``, in the matrix's own precision.

    A defective matrix, such as ``[[a, b], [0, a]]``, has no basis of eigenvectors: κ is infinite in exact arithmetic,
    and about 1/ε or more as computed. Its powers come from ``products``:

        [[a, b], [0, a]]^ℓ = [[a^ℓ, ℓ a^(ℓ-1) b], [0, a^ℓ]],

    which grows at first, though its spectral radius a is below 1, and vanishes in the end.

    Raises:
        UserError: if the matrix is not square, or not finite.
    """
    j = np.asarray(on_host(real_array(matrix, "the matrix"), "an eigenbasis is computed"))
    j = j.astype(result_dtype(j.dtype) if jnp.issubdtype(j.dtype, jnp.floating) else np.float64)
    if j.ndim != 2 or j.shape[0] != j.shape[1]:
        raise UserError(f"expected one square matrix [n, n], not an array of shape {j.shape}")
    if not np.isfinite(j).all():
        raise UserError("the matrix is not finite: it has no eigenvalues")
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
    """``J^ℓ = V diag(λ^ℓ) V⁻¹``, real [n, n], its error about κ(V) ε times ``max |λ|^ℓ``.

    Raises:
        UserError: for a negative lag, where κ(V) ε reaches 1: a matrix that is defective as far as can be computed, or
            where a power of an eigenvalue overflows.
    """
    _check_lags([lag])
    if not basis.condition_number * np.finfo(basis.vectors.dtype).eps < 1:
        raise UserError("the matrix is defective, its eigenvectors are no basis: take its powers from products")
    with np.errstate(over="ignore", invalid="ignore"):
        powers = basis.eigenvalues**lag
    if not np.isfinite(powers).all():
        raise UserError(f"the power at lag {lag} is beyond the range of {powers.dtype}: take it from products")
    return np.real((basis.vectors * powers) @ basis.inverse)


def log_component_moduli(basis: Eigenbasis, lags: Sequence[int]) -> np.ndarray:
    """``ℓ ln|λ_k|`` [L, n] in nats: what becomes of each component of a gradient in the eigenbasis after ℓ steps.

    Raises:
        UserError: for a negative lag.
    """
    _check_lags(lags)
    with np.errstate(divide="ignore"):
        rates = np.log(np.abs(basis.eigenvalues))
    ells = np.asarray(lags, rates.dtype)[:, None]
    return np.where(ells == 0, 0, np.where(ells == 0, 1, ells) * rates)  # λ^0 is 1, of a zero too


def _check_lags(lags: Sequence[int]) -> None:
    if not all(isinstance(lag, int | np.integer) for lag in lags):
        raise UserError(f"lags count steps, they are whole numbers: {list(lags)}")
    if any(lag < 0 for lag in lags):
        raise UserError(f"lags count steps, they are not negative: {list(lags)}")
