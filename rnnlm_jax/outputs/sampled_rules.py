"""Losses over a target and sampled words, each with its derivatives by the logits.

A rule reads ``a [S, N]``, the logits of S samples for N rows minus an offset (the logarithm of how often the word is
expected, or of its probability; -inf for a sample that is left out), and ``a_t [N]``, the same of the targets.
"""

from typing import NamedTuple, Protocol

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float


class RuleRows(NamedTuple):
    """Loss of each row, and its derivatives by the logits of samples and target."""

    losses: Float[Array, " N"]
    of_samples: Float[Array, "S N"]
    of_target: Float[Array, " N"]


class Rule(Protocol):
    """A loss of rows over targets and samples."""

    def __call__(self, a: Float[Array, "S N"], a_t: Float[Array, " N"], /) -> RuleRows:
        """Return losses and derivatives of N rows.

        Args:
            a: logits of the samples minus their offsets.
            a_t: logits of the targets minus theirs.
        """
        ...


def importance_rule(a: Float[Array, "S N"], a_t: Float[Array, " N"]) -> RuleRows:
    """Return ``ℓ = log(e^{a_t} + Σ_j e^{a_j}) - a_t``, a softmax over the target and the samples.

    The importance-sampled softmax of Jean et al. 2015 (section 3) and Jozefowicz et al. 2016 (section 3.1).
    """
    largest = jnp.maximum(a.max(0), a_t)
    powers, power_t = jnp.exp(a - largest[None]), jnp.exp(a_t - largest)
    total = powers.sum(0) + power_t
    share = 1 / total
    return RuleRows(jnp.log(total) + (largest - a_t), powers * share[None], power_t * share - 1)


def noise_contrastive_rule(a: Float[Array, "S N"], a_t: Float[Array, " N"]) -> RuleRows:
    """Return ``ℓ = -log σ(a_t) - Σ_j log σ(-a_j)``, a binary classification of data against noise.

    Noise-contrastive estimation (Gutmann & Hyvärinen 2012; Mnih & Teh 2012, section 3.1), where ``a`` is
    ``s - ln Z - ln(k Q)``.
    """
    # Both logarithms and both slopes come from one exponential, which cannot overflow.
    small, small_t = jnp.exp(-jnp.abs(a)), jnp.exp(-jnp.abs(a_t))
    losses = (jnp.maximum(a, 0) + jnp.log1p(small)).sum(0) + jnp.maximum(-a_t, 0) + jnp.log1p(small_t)
    slopes = jnp.where(a >= 0, 1, small) / (1 + small)
    return RuleRows(losses, slopes, -jnp.where(a_t >= 0, small_t, 1) / (1 + small_t))


def blackout_rule(a: Float[Array, "S N"], a_t: Float[Array, " N"]) -> RuleRows:
    """Return ``ℓ = -log p_t - Σ_j log(1 - p_j)`` with ``p = softmax`` over the target and the samples.

    BlackOut (Ji et al. 2016, section 2.2), where ``a`` is ``s - ln Q``. With ``r = p / (1 - p)`` the slopes are
    ``r_k + p_k (1 - Σ_j r_j)`` for a sample and ``p_t (1 - Σ_j r_j) - 1`` for the target.
    """
    tiny = jnp.finfo(a.dtype).tiny
    largest = jnp.maximum(a.max(0), a_t)
    powers, power_t = jnp.exp(a - largest[None]), jnp.exp(a_t - largest)
    # Only the largest sample may have p near 1: its 1 - p is the sum of the others, so that nothing cancels.
    top = jnp.arange(a.shape[0])[:, None] == a.argmax(0)[None]
    rest = jnp.maximum(jnp.where(top, 0, powers).sum(0) + power_t, tiny)
    of_top = jnp.where(top, powers, 0).sum(0)
    total = rest + of_top
    share = 1 / total
    p, p_t, p_top = powers * share[None], power_t * share, of_top * share
    others = jnp.where(top, 0, p)
    losses = jnp.log(total) + (largest - a_t) - jnp.log1p(-others).sum(0) - jnp.log(rest * share)
    ratios = others / (1 - others)  # r_j of all but the largest
    kept = 1 - ratios.sum(0)
    # p_k r_top, where r_top may overflow: p_top times the share of k in the rest.
    through = p_top / rest
    of_samples = jnp.where(top, p * (1 + kept)[None], ratios + p * kept[None] - powers * through[None])
    return RuleRows(losses, of_samples, p_t * kept - power_t * through - 1)
