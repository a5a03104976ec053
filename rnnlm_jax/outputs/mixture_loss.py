"""Nats of a mixture of softmaxes over one matrix of words, alone or with all gradients, in memory without ``N K V``."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.outputs.affine_cross_entropy import affine_gradients, affine_nats
from rnnlm_jax.outputs.training_loss import weighted_loss


class MixtureOperands(NamedTuple):
    """What the loss of a mixture may be differentiated by."""

    components: Float[Array, "N K D"]
    log_weights: Float[Array, "N K"]
    w: Float[Array, "D V"] | Float[Array, "V D"]
    b: Float[Array, " V"]


def mixture_nats(
    operands: MixtureOperands, targets: Int[Array, " N"], weights: Float[Array, " N"], *, by_word: bool
) -> Float[Array, " N"]:
    """Return ``ℓ_n = -log Σ_k exp(log π_nk - ℓ_nk)`` in nats, with ``ℓ_nk`` the cross-entropy of component k.

    Args:
        operands: components, the logarithms of their weights, matrix and bias of words.
        targets: columns; a negative one counts from the end, and one outside gives NaN.
        weights: weights of the rows; where it is 0, ℓ is 0.
        by_word: whether ``w`` is ``[V, D]``.
    """
    joint = _joint(operands, targets, weights, by_word)
    nats = -jax.nn.logsumexp(joint, axis=1)
    return jnp.where(weights == 0, jnp.zeros((), nats.dtype), nats)


@dataclass(frozen=True)
class MixtureRowLosses:
    """The loss of ``mixture_nats`` and its gradients, for ``weighted_loss``.

    With the responsibility ``r_nk = exp(log π_nk - ℓ_nk + ℓ_n)`` of component k for the target, ``∂ℓ_n / ∂log π_nk =
    -r_nk``, and the gradient by a component, w and b is that of its cross-entropy, weighted by ``r_nk``. These need the
    nats of all components first, so the logits are formed twice, a chunk of rows at a time: once for the nats, once for
    the gradients. No array of ``N K V`` numbers is stored.
    """

    by_word: bool

    def losses(self, operands: MixtureOperands, constants: Array, weights: Array) -> Array:
        """Return ``mixture_nats``."""
        return mixture_nats(operands, constants, weights, by_word=self.by_word)

    def gradients(self, operands: MixtureOperands, constants: Array, weights: Array) -> tuple[Array, MixtureOperands]:
        """Return ``mixture_nats``, and the gradients of their weighted sum."""
        joint = _joint(operands, constants, weights, self.by_word)
        log_likelihood = jax.nn.logsumexp(joint, axis=1, keepdims=True)
        unweighted = (weights == 0)[:, None]
        shares = jnp.where(unweighted, 0, weights[:, None] * jnp.exp(joint - log_likelihood))
        rows = affine_gradients(
            *_rows(operands), _of_components(constants, operands), shares.reshape(-1), by_word=self.by_word
        )
        nats = jnp.where(unweighted, 0, -log_likelihood)[:, 0]
        return nats, MixtureOperands(rows.dh.reshape(operands.components.shape), -shares, rows.dw, rows.db)


def weighted_mixture_nats(
    operands: MixtureOperands, targets: Int[Array, " N"], weights: Float[Array, " N"], *, by_word: bool
) -> Float[Array, ""]:
    """Return ``Σ_n weight_n ℓ_n`` of ``mixture_nats``, as ``weighted_loss`` does."""
    return weighted_loss(MixtureRowLosses(by_word), operands, targets, weights)


def mixture_log_probs(operands: MixtureOperands, *, by_word: bool) -> Float[Array, "N V"]:
    """Return ``log Σ_k π_nk softmax(h_nk w + b)_v`` of every word, one component after the other."""
    w, b = operands.w.T if by_word else operands.w, operands.b

    def of_component(h: Float[Array, "N D"], log_weight: Float[Array, " N"]) -> Float[Array, "N V"]:
        product = (h @ w).astype(b.dtype)
        return jax.nn.log_softmax(product + over_batch(b, product), axis=-1) + log_weight[:, None]

    def add(total: Array, component: tuple[Array, Array]) -> tuple[Array, None]:
        return jnp.logaddexp(total, of_component(*component)), None

    components, log_weights = operands.components.swapaxes(0, 1), operands.log_weights.T
    first = of_component(components[0], log_weights[0])
    return jax.lax.scan(add, first, (components[1:], log_weights[1:]))[0]


def _joint(operands: MixtureOperands, targets: Array, weights: Array, by_word: bool) -> Float[Array, "N K"]:
    """Return ``log π_nk - ℓ_nk``, the log-probability of component and target together; rows of weight 0 have log π."""
    counted = _of_components(weights, operands)
    nats = affine_nats(*_rows(operands), _of_components(targets, operands), counted, by_word=by_word)
    return operands.log_weights - nats.reshape(operands.log_weights.shape)


def _rows(operands: MixtureOperands) -> tuple[Array, Array, Array]:
    """Return the components as rows of one softmax, its matrix and its bias."""
    return operands.components.reshape(-1, operands.components.shape[-1]), operands.w, operands.b


def _of_components(of_rows: Array, operands: MixtureOperands) -> Array:
    """Repeat what belongs to a row for each of its components."""
    return jnp.repeat(of_rows, operands.components.shape[1])
