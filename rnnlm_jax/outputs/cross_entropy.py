"""The loss of a softmax, with its derivative written out: one pass over the logits each way, and no scatter."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int


@jax.custom_jvp
def cross_entropy(logits: Float[Array, "N V"], targets: Int[Array, " N"]) -> Float[Array, " N"]:
    """``-log softmax(a)[v] = log Σ_u exp(a_u) - a_v`` in nats, row by row.

    Its derivative, ``Σ_u (softmax(a)_u - [u = v]) da_u``, is a rule of its own, so that the gradient of the logits is
    formed as they are read. The rule is linear in ``da``: reverse mode, forward mode and higher derivatives follow.
    """
    return _log_normalizer(logits) - jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]


@cross_entropy.defjvp
def _cross_entropy_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    logits, targets = primals
    log_normalizer = _log_normalizer(logits)
    nats = log_normalizer - jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
    hit = jax.lax.broadcasted_iota(targets.dtype, logits.shape, 1) == targets[:, None]
    slope = jnp.exp(logits - log_normalizer[:, None]) - hit.astype(logits.dtype)
    return nats, (slope * tangents[0]).sum(axis=1)


def _log_normalizer(logits: Float[Array, "N V"]) -> Float[Array, " N"]:
    """``log Σ exp``, the largest taken out first."""
    largest = jax.lax.stop_gradient(logits.max(axis=1, keepdims=True))
    return jnp.log(jnp.exp(logits - largest).sum(axis=1)) + largest[:, 0]
