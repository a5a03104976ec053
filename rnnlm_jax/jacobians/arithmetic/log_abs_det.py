"""``ln|det A|`` of matrices whose determinant overflows or underflows."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.power_of_two import ScaledByPowerOfTwo, scale_by_power_of_two
from rnnlm_jax.jacobians.arguments import result_dtype


def log_abs_det(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Return ``ln|det A|``, the sum of the logarithms of LU's pivots: -inf for a zero pivot, NaN if A is not finite.

    (``slogdet`` forms the determinant of a 2 × 2 matrix, which overflows and underflows, and LU has no 16-bit types.)
    """
    return log_abs_det_of_scaled(scale_by_power_of_two(matrix.astype(result_dtype(matrix.dtype))))


def log_abs_det_of_scaled(scaled: ScaledByPowerOfTwo) -> Float[Array, ""]:
    """Return ``ln|det(2**exponent · matrix)|``."""
    matrix = scaled.matrix
    log_scale = scaled.exponent.astype(matrix.dtype) * jnp.log(jnp.full((), 2, matrix.dtype))
    return _log_abs_det_by_lu(matrix) + matrix.shape[0] * log_scale


@jax.custom_jvp
def _log_abs_det_by_lu(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    return jnp.log(jnp.abs(jnp.diagonal(jax.lax.linalg.lu(matrix)[0]))).sum()


@_log_abs_det_by_lu.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """``d ln|det A| = tr(A⁻¹ dA)``; 0 for a singular A."""
    (matrix,), (tangent,) = primals, tangents
    value = _log_abs_det_by_lu(matrix)
    singular = value == -jnp.inf
    inverse = jnp.linalg.inv(jnp.where(singular, jnp.eye(matrix.shape[0], dtype=matrix.dtype), matrix))
    return value, jnp.where(singular, jnp.zeros((), matrix.dtype), jnp.vdot(inverse.T, tangent))
