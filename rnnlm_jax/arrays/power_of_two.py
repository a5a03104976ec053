"""Matrices scaled by powers of two: no later product overflows or underflows, and the scaling itself is exact."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int


class ScaledByPowerOfTwo(NamedTuple):
    """``2**exponent · matrix``, the largest entry of the matrix in [½, 1). Exponents are integers and add exactly."""

    exponent: Int[Array, "*B"]
    matrix: Float[Array, "*B m n"]


def scale_by_power_of_two(matrix: Float[Array, "*B m n"]) -> ScaledByPowerOfTwo:
    """Divide each matrix by a power of two; zero has exponent 0, and a matrix that is not finite becomes all NaN."""
    largest = jax.lax.stop_gradient(jnp.abs(matrix).max(axis=(-2, -1), initial=0))
    _, exponent = jnp.frexp(largest)
    matrix = jnp.where(jnp.isfinite(largest)[..., None, None], matrix, jnp.nan)
    return ScaledByPowerOfTwo(exponent, times_power_of_two(matrix, -exponent[..., None, None]))


def times_power_of_two(values: Float[Array, "*#n"], exponents: Int[Array, "*#n"]) -> Float[Array, "*#n"]:
    """Return ``values · 2^exponents`` with broadcasting; 0 or inf beyond the range of the dtype.

    The power is applied as two factors built from their bits, since it may itself be out of range. (``jnp.ldexp`` is
    slower: it computes a power for each entry.)
    """
    about = jnp.finfo(values.dtype)
    signed = np.dtype(f"int{about.bits}")
    exponents = jnp.clip(exponents, 2 * about.minexp, 2 * about.maxexp - 2)
    for half in (exponents >> 1, exponents - (exponents >> 1)):
        bits = (half - about.minexp + 1).astype(signed) << about.nmant
        values = values * jax.lax.bitcast_convert_type(bits, values.dtype)
    return values
