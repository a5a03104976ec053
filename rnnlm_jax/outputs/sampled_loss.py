"""Loss and gradients of a rule over sampled words, formed together; products of rows that were picked, nothing else."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.sparse_rows import UNUSED
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.outputs.sampled_rules import Rule


class Picked(NamedTuple):
    """The rows of the output matrix and the entries of its bias that a loss reads."""

    w: Float[Array, "S H"]
    b: Float[Array, " S"]
    w_t: Float[Array, "N H"]
    b_t: Float[Array, " N"]


class Drawn(NamedTuple):
    """Which words those are, and what a rule takes off their logits."""

    samples: Int[Array, " S"]
    targets: Int[Array, " N"]
    offsets: Float[Array, " S"]
    offsets_t: Float[Array, " N"]


class Gradients(NamedTuple):
    """The losses of all rows, and the gradients of their weighted sum."""

    losses: Float[Array, " N"]
    dh: Float[Array, "N H"]
    picked: Picked


class Setting(NamedTuple):
    """What is fixed of a sampled loss."""

    rule: Rule
    hits_count: bool
    """Whether a sample that is the row's target counts like any other."""
    dtype: Any


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def summed_loss(
    setting: Setting, picked: Picked, drawn: Drawn, h: Float[Array, "N H"], weights: Float[Array, " N"]
) -> Float[Array, ""]:
    """``Σ_n weight_n ℓ_n`` of a rule; a row of weight 0 counts for nothing.

    As for the full softmax, gradients are formed with the loss, and reverse mode multiplies them by a scalar.
    """
    losses, _, _ = _rows(setting, picked, drawn, h, weights)
    return (weights * losses).sum()


@summed_loss.defjvp
def _summed_loss_jvp(setting: Setting, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    picked, drawn, h, weights = primals
    moved_picked, _, moved_h, moved_weights = tangents
    losses, dh, gradient = loss_gradients(setting, picked, drawn, h, weights)
    pairs = [(dh, moved_h), *zip(gradient, moved_picked, strict=True), (losses, moved_weights)]
    moved = jnp.stack([(g.astype(losses.dtype) * t.astype(losses.dtype)).sum() for g, t in pairs]).sum()
    return (weights * losses).sum(), moved


def loss_gradients(
    setting: Setting, picked: Picked, drawn: Drawn, h: Float[Array, "N H"], weights: Float[Array, " N"]
) -> Gradients:
    """The losses of the rows, and all gradients of ``summed_loss``."""
    losses, slopes, slopes_t = _rows(setting, picked, drawn, h, weights)
    narrow, wide = slopes.astype(setting.dtype), slopes.dtype
    rows = h.astype(setting.dtype)
    dh = matmul(narrow, picked.w.astype(setting.dtype), transpose_a=True).astype(wide)
    gradient = Picked(
        w=matmul(narrow, rows).astype(wide),
        b=slopes.sum(1),
        w_t=slopes_t[:, None] * h.astype(wide),
        b_t=slopes_t,
    )
    return Gradients(losses, (dh + slopes_t[:, None] * picked.w_t).astype(h.dtype), gradient)


def _rows(
    setting: Setting, picked: Picked, drawn: Drawn, h: Float[Array, "N H"], weights: Float[Array, " N"]
) -> tuple[Array, Array, Array]:
    """Losses ``[N]`` and weighted slopes ``[S, N]`` and ``[N]``; logits lie by sample, so that no operand is turned."""
    dtype, wide = setting.dtype, picked.b.dtype
    logits = matmul(picked.w.astype(dtype), h.astype(dtype).T).astype(wide) + picked.b[:, None]
    logits_t = (h.astype(wide) * picked.w_t).sum(1) + picked.b_t
    out = (drawn.samples == UNUSED)[:, None]
    if not setting.hits_count:
        out = out | (drawn.samples[:, None] == drawn.targets[None])
    a = jnp.where(out, -jnp.inf, logits - drawn.offsets[:, None])
    losses, slopes, slopes_t = setting.rule(a, logits_t - drawn.offsets_t)
    none = weights == 0
    slopes = jnp.where(none[None], 0, weights[None] * slopes)
    return jnp.where(none, 0, losses), slopes, jnp.where(none, 0, weights * slopes_t)
