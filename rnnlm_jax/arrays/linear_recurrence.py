"""Linear recurrences over time by an associative scan, with exact derivatives of any order."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.power_of_two import scale_by_power_of_two, times_power_of_two


def linear_recurrence(
    a: Float[Array, "T *B m m"], b: Float[Array, "T *B m"], first: Float[Array, "*B m"]
) -> Float[Array, "T *B m"]:
    """Return ``s_t = A_t s_{t-1} + b_t`` for t = 1 … T from ``s_0 = first``.

    Pairs compose as ``(A₂, b₂)∘(A₁, b₁) = (A₂ A₁, A₂ b₁ + b₂)``, which is associative, so that O(log T) stages compute
    all steps (Blelloch 1990). It is the solution of ``s_t - A_t s_{t-1} = b_t``, and is differentiated as one: a
    cotangent is the recurrence ``λ_t = A_{t+1}ᵀ λ_{t+1} + g_t`` back in time, by the same scan. Products of many
    ``A_t`` neither overflow nor underflow where the states themselves do not.

    Args:
        a: the matrices; m = 1 for numbers.
        b: the inputs.
        first: ``s_0``.
    """
    if a.shape[0] == 0:
        return b
    b = b.at[0].add(_apply(a[0], first))

    def residual(s: Array) -> Array:
        return s - _apply(a, _shifted(s))

    def solve(_: object, b: Array) -> Array:
        return _compose(a, b)

    def solve_transposed(_: object, g: Array) -> Array:
        later = jnp.concatenate([jnp.swapaxes(a[1:], -1, -2), jnp.zeros_like(a[:1])])
        return jnp.flip(_compose(jnp.flip(later, axis=0), jnp.flip(g, axis=0)), axis=0)

    return jax.lax.custom_linear_solve(residual, b, solve, solve_transposed)


def _shifted(s: Array) -> Array:
    return jnp.concatenate([jnp.zeros_like(s[:1]), s[:-1]])


def _apply(a: Float[Array, "*B m m"], s: Float[Array, "*B m"]) -> Float[Array, "*B m"]:
    """Return ``A s`` for every matrix."""
    if a.shape[-1] == 1:
        return a[..., 0] * s
    return jnp.matmul(a, s[..., None], precision="highest")[..., 0]


def _product(later: Float[Array, "*B m m"], earlier: Float[Array, "*B m m"]) -> Float[Array, "*B m m"]:
    return later * earlier if later.shape[-1] == 1 else jnp.matmul(later, earlier, precision="highest")


def _compose(a: Array, b: Array) -> Array:
    """Return the states from ``s_0 = 0``; products carry an exponent of their own if they could overflow."""
    return jax.lax.cond(_can_overflow(a), _compose_scaled, _compose_plain, a, b)


def _compose_plain(a: Array, b: Array) -> Array:
    def combine(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
        return _product(later[0], earlier[0]), _apply(later[0], earlier[1]) + later[1]

    return jax.lax.associative_scan(combine, (a, b))[1]


class _Scaled(NamedTuple):
    """``2**exponent · matrix`` and a state."""

    exponent: Int[Array, "*B"]
    matrix: Float[Array, "*B m m"]
    state: Float[Array, "*B m"]


def _compose_scaled(a: Array, b: Array) -> Array:
    def combine(earlier: _Scaled, later: _Scaled) -> _Scaled:
        product = scale_by_power_of_two(_product(later.matrix, earlier.matrix))
        moved = times_power_of_two(_apply(later.matrix, earlier.state), later.exponent[..., None])
        exponent = product.exponent + later.exponent + earlier.exponent
        return _Scaled(exponent, product.matrix, moved + later.state)

    scaled = scale_by_power_of_two(a)
    return jax.lax.associative_scan(combine, _Scaled(scaled.exponent, scaled.matrix, b)).state


def _can_overflow(a: Float[Array, "T *B m m"]) -> Array:
    """Return whether some product of successive matrices may leave the range of the dtype.

    Below this bound nothing is lost to underflow either: whatever is flushed to zero would have stayed below the
    rounding error of the states.
    """
    bits = jnp.log2(jnp.maximum(_norms(a), jnp.ones((), a.dtype))).sum(axis=0)
    return ~jnp.all(bits < 0.7 * jnp.finfo(a.dtype).maxexp)  # NaN: yes


def _norms(a: Float[Array, "*B m m"]) -> Float[Array, "*B"]:
    """Return bounds of the spectral norms; exact for m up to 2."""
    if a.shape[-1] == 1:
        return jnp.abs(a[..., 0, 0])
    if a.shape[-1] == 2:
        squares = jnp.square(a).sum(axis=(-2, -1))
        determinant = a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
        gap = jnp.maximum(squares - 2 * jnp.abs(determinant), 0) * (squares + 2 * jnp.abs(determinant))
        return jnp.sqrt((squares + jnp.sqrt(gap)) / 2)
    sizes = jnp.abs(a)
    return jnp.sqrt(sizes.sum(axis=-1).max(axis=-1) * sizes.sum(axis=-2).max(axis=-1))
