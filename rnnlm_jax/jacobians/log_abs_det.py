"""``ln|det|`` of a matrix whose determinant may be far beyond the range of floating-point numbers."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.jacobians.arguments import result_dtype
from rnnlm_jax.jacobians.power_of_two import PowerOfTwo, power_of_two


def log_abs_det(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """The sum of the logarithms of LU's pivots; -inf where one is zero, NaN for a matrix that is not finite.

    (``slogdet`` forms the determinant of a 2 × 2 matrix, which over- and underflows, and LU has no 16-bit types.)
    """
    return log_abs_det_of_scaled(power_of_two(matrix.astype(result_dtype(matrix.dtype))))


def log_abs_det_of_scaled(scaled: PowerOfTwo) -> Float[Array, ""]:
    """The same of ``2**exponent · matrix``."""
    matrix = scaled.matrix
    log_scale = scaled.exponent.astype(matrix.dtype) * jnp.log(jnp.full((), 2, matrix.dtype))
    return _of_pivots(matrix) + matrix.shape[0] * log_scale


@jax.custom_jvp
def _of_pivots(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    return jnp.log(jnp.abs(jnp.diagonal(jax.lax.linalg.lu(matrix)[0]))).sum()


@_of_pivots.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """``d ln|det A| = tr(A⁻¹ dA)``; 0 for a singular A."""
    (matrix,), (moved,) = primals, tangents
    value = _of_pivots(matrix)
    singular = value == -jnp.inf
    inverse = jnp.linalg.inv(jnp.where(singular, jnp.eye(matrix.shape[0], dtype=matrix.dtype), matrix))
    return value, jnp.where(singular, jnp.zeros((), matrix.dtype), jnp.vdot(inverse.T, moved))
