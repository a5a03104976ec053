"""How far rounding may have moved what a graded product is made of: first-order estimates, of independent errors."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float


def qr_variance(
    q: Float[Array, "n n"],
    r: Float[Array, "n n"],
    pivots: Float[Array, " n"],
    inherited: Float[Array, " n"] | None,
    lost: Float[Array, ""] | float,
) -> Float[Array, " n"]:
    """Variance of the relative error of each ``r_kk``, to first order; about 1 where it is nothing but rounding error.

        δr_kk = q_kᵀ δA R⁻¹ e_k r_kk,    (R⁻¹ e_k)_j r_kk ≈ c_jk = r_jk / r_jj

    Householder's errors in row i of A are in proportion to what stands there on the way, ``|q_i| · |R|``: they are
    small in small rows unless large ones are mixed into them. Errors that A comes with are in proportion to whole
    columns.

    Args:
        q: Q.
        r: R.
        pivots: its diagonal, with something else than zero in place of zeros.
        inherited: variances of the relative errors of A's columns.
        lost: bound on what the entries of A have lost to underflow.
    """
    q, r, pivots = jax.lax.stop_gradient((q, r, jnp.abs(pivots)))
    one = jnp.ones((), r.dtype)
    rounding = 2 * pivots.size**0.5 * jnp.finfo(r.dtype).eps
    coefficients = jnp.square(jnp.triu(r / pivots[:, None], 1))
    in_rows = (jnp.abs(q) * jnp.abs(r).max(axis=1)[None, :]).max(axis=1)
    in_pivots = jnp.square(q * (in_rows[:, None] * (one / pivots)[None, :])).sum(axis=0)
    variance = (jnp.square(rounding) * in_pivots + jnp.square(lost / pivots)) * (one + coefficients.sum(axis=0))
    if inherited is not None:
        in_columns = inherited * jnp.square(r).sum(axis=0)
        variance = variance + (in_columns + in_columns @ coefficients) / jnp.square(pivots)
    return variance


def row_variance(
    f: Float[Array, "n n"], before: Float[Array, "n n"], after: Float[Array, "n n"], variance: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Variance of the relative error of each row of ``after = F · before``, whose own rows have variances."""
    f, before, after, variance = jax.lax.stop_gradient((f, before, after, variance))
    shares = jnp.square(before).sum(axis=1) * (variance + jnp.square(jnp.finfo(f.dtype).eps))
    return (jnp.square(f) @ shares) / jnp.square(after).sum(axis=1)
