"""The loss that training differentiates: a weighted sum over rows, whose gradients are formed together with it."""

import functools
from dataclasses import dataclass
from typing import Any, Protocol

import jax

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.outputs.affine_cross_entropy import affine_gradients, affine_nats


class RowLosses(Protocol):
    """A loss of each row ``ℓ_n``, and the gradients of its weighted sum; static and hashable."""

    def losses(self, operands: Tree, constants: Tree, weights: Float[Array, " N"]) -> Float[Array, " N"]:
        """Return the losses alone.

        Args:
            operands: arrays that the loss may be differentiated by.
            constants: all else that it reads, such as targets.
            weights: weights of the rows; where it is 0, so is the loss.
        """
        ...

    def gradients(self, operands: Tree, constants: Tree, weights: Float[Array, " N"]) -> tuple[Array, Tree]:
        """Return the losses ``[N]``, and the gradients of ``Σ_n weight_n ℓ_n``, a tree like ``operands``."""
        ...


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def weighted_loss(rows: RowLosses, operands: Tree, constants: Tree, weights: Float[Array, " N"]) -> Float[Array, ""]:
    """Return ``Σ_n weight_n ℓ_n``; a row of weight 0 adds nothing, to gradients neither.

    Undifferentiated, no gradient is computed. Otherwise value and gradients come from one pass, in forward mode too,
    and reverse mode multiplies them by a scalar; it multiplies nothing where that is the constant 1, as for
    ``jax.grad`` of this loss.
    """
    return _weighted_sum(weights, rows.losses(operands, constants, weights))


@weighted_loss.defjvp
def _weighted_loss_jvp(rows: RowLosses, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    operands, constants, weights = primals
    operand_tangents, _, weight_tangents = tangents
    losses, gradients = rows.gradients(operands, constants, weights)
    pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(operand_tangents), strict=True)
    along_operands = sum((g.astype(losses.dtype) * t.astype(losses.dtype)).sum() for g, t in pairs)
    return _weighted_sum(weights, losses), along_operands + _weighted_sum(weight_tangents, losses)


@dataclass(frozen=True)
class AffineRowLosses:
    """The cross-entropy of ``h w + b``, of operands ``(h, w, b)`` and targets."""

    by_word: bool

    def losses(self, operands: Tree, constants: Array, weights: Array) -> Array:
        """Return ``affine_nats``."""
        h, w, b = operands
        return affine_nats(h, w, b, constants, weights, by_word=self.by_word)

    def gradients(self, operands: Tree, constants: Array, weights: Array) -> tuple[Array, Tree]:
        """Return ``affine_gradients``."""
        h, w, b = operands
        nats, *gradients = affine_gradients(h, w, b, constants, weights, by_word=self.by_word)
        return nats, tuple(gradients)


def weighted_nats(
    h: Float[Array, "N H"],
    w: Float[Array, "H V"] | Float[Array, "V H"],
    b: Float[Array, " V"],
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    *,
    by_word: bool,
) -> Float[Array, ""]:
    """Return ``Σ_n weight_n ℓ_n`` of ``affine_nats``, as ``weighted_loss`` does."""
    return weighted_loss(AffineRowLosses(by_word), (h, w, b), targets, weights)


def _weighted_sum(weights: Array, losses: Array) -> Array:
    return (weights.astype(losses.dtype) * losses).sum()
