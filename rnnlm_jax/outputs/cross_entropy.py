"""Cross-entropy of logits, with its derivative written out: one pass over the logits each way, without a scatter."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int


class SoftmaxRows(NamedTuple):
    """Loss of each row, and the two parts of its derivative by the logits."""

    nats: Float[Array, " N"]
    probabilities: Float[Array, "N V"]
    is_target: Bool[Array, "N V"]


@jax.custom_jvp
def cross_entropy(logits: Float[Array, "N V"], targets: Int[Array, " N"]) -> Float[Array, " N"]:
    """Return ``-log softmax(a)[v] = log Σ_u exp(a_u) - a_v`` of each row in nats.

    A negative target counts from the end; one outside the columns gives NaN. The derivative,
    ``Σ_u (softmax(a)_u - [u = v]) da_u``, is a custom rule, so that the gradient of the logits is formed as they are
    read. The rule is linear in ``da``: reverse mode, forward mode and higher derivatives follow.
    """
    return softmax_rows(logits, targets).nats


@cross_entropy.defjvp
def _cross_entropy_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    rows = softmax_rows(*primals)
    return rows.nats, ((rows.probabilities - rows.is_target.astype(rows.probabilities.dtype)) * tangents[0]).sum(axis=1)


def softmax_rows(logits: Float[Array, "N V"], targets: Int[Array, " N"]) -> SoftmaxRows:
    """Return losses and probabilities; each row's largest logit is subtracted first, and not added again.

    For logits of 10,000 the sum ``largest + log Σ exp`` would leave three decimals in float32.
    """
    targets = jnp.where(targets < 0, targets + logits.shape[1], targets)
    largest = jax.lax.stop_gradient(logits.max(axis=1))
    powers = jnp.exp(logits - largest[:, None])
    total = powers.sum(axis=1)
    # A target that is still negative is outside the columns and must not be counted from the end again.
    at_target = logits.at[jnp.arange(len(targets)), targets].get(
        mode="fill", fill_value=jnp.nan, wrap_negative_indices=False
    )
    is_target = jax.lax.broadcasted_iota(targets.dtype, logits.shape, 1) == targets[:, None]
    return SoftmaxRows(jnp.log(total) - (at_target - largest), powers * (1 / total)[:, None], is_target)
