"""The loss that training differentiates: its gradients are formed with it."""

import functools
from typing import Any

import jax

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.outputs.affine_cross_entropy import affine_gradients, affine_nats


@functools.partial(jax.custom_jvp, nondiff_argnums=(5,))
def weighted_nats(
    h: Float[Array, "N H"],
    w: Float[Array, "H V"] | Float[Array, "V H"],
    b: Float[Array, " V"],
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    by_word: bool,
) -> Float[Array, ""]:
    """``Σ_n weight_n ℓ_n`` of ``affine_nats``; a row of weight 0 counts for nothing, not for gradients either.

    Undifferentiated, no gradient is computed. Otherwise value and gradients come from one pass, in forward mode too,
    and reverse mode multiplies them by a scalar: none where that is the constant 1, as for ``jax.grad`` of this loss.
    """
    return _sum(weights, affine_nats(h, w, b, targets, weights, by_word))


@weighted_nats.defjvp
def _weighted_nats_jvp(by_word: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    h, w, b, targets, weights = primals
    moved_h, moved_w, moved_b, _, moved_weights = tangents
    nats, dh, dw, db = affine_gradients(h, w, b, targets, weights, by_word)
    moved = _dot(dh, moved_h, b.dtype) + _dot(dw, moved_w, b.dtype) + _dot(db, moved_b, b.dtype)
    return _sum(weights, nats), moved + _sum(moved_weights, nats)


def _sum(weights: Array, nats: Array) -> Array:
    return (weights.astype(nats.dtype) * nats).sum()


def _dot(gradient: Array, tangent: Array, dtype: Any) -> Array:
    return (gradient.astype(dtype) * tangent.astype(dtype)).sum()
