"""The loss of a softmax, with its derivative written out: one pass over the logits each way, and no scatter."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int


class SoftmaxRows(NamedTuple):
    """The loss of each row and what its slope is made of."""

    nats: Float[Array, " N"]
    probabilities: Float[Array, "N V"]
    hit: Bool[Array, "N V"]
    """Which column the target is."""


@jax.custom_jvp
def cross_entropy(logits: Float[Array, "N V"], targets: Int[Array, " N"]) -> Float[Array, " N"]:
    """``-log softmax(a)[v] = log Σ_u exp(a_u) - a_v`` in nats, row by row.

    A target that is no column has NaN; a negative one counts from the end. The derivative,
    ``Σ_u (softmax(a)_u - [u = v]) da_u``, is a rule of its own, so that the gradient of the logits is formed as they
    are read. The rule is linear in ``da``: reverse mode, forward mode and higher derivatives follow.
    """
    return softmax_rows(logits, targets).nats


@cross_entropy.defjvp
def _cross_entropy_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    rows = softmax_rows(*primals)
    return rows.nats, ((rows.probabilities - rows.hit.astype(rows.probabilities.dtype)) * tangents[0]).sum(axis=1)


def softmax_rows(logits: Float[Array, "N V"], targets: Int[Array, " N"]) -> SoftmaxRows:
    """Loss and probabilities, each row's largest logit taken out first and never added again.

    For logits of 10,000 the sum ``largest + log Σ exp`` would leave three decimals in float32.
    """
    targets = jnp.where(targets < 0, targets + logits.shape[1], targets)
    largest = jax.lax.stop_gradient(logits.max(axis=1))
    powers = jnp.exp(logits - largest[:, None])
    total = powers.sum(axis=1)
    # What is negative still is no column either, and not to be counted from the end again.
    at_target = logits.at[jnp.arange(len(targets)), targets].get(
        mode="fill", fill_value=jnp.nan, wrap_negative_indices=False
    )
    hit = jax.lax.broadcasted_iota(targets.dtype, logits.shape, 1) == targets[:, None]
    return SoftmaxRows(jnp.log(total) - (at_target - largest), powers * (1 / total)[:, None], hit)
