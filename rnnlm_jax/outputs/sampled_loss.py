"""Loss and gradients of a sampled rule, formed together from the gathered rows alone."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.sparse_rows import UNUSED
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.outputs.sampled_rules import Rule
from rnnlm_jax.outputs.training_loss import weighted_loss


class Gathered(NamedTuple):
    """Rows of the output matrix and entries of its bias that a loss reads, of samples and of targets (``_t``)."""

    w: Float[Array, "S H"]
    b: Float[Array, " S"]
    w_t: Float[Array, "N H"]
    b_t: Float[Array, " N"]


class Drawn(NamedTuple):
    """The words of those rows, and the offsets that a rule subtracts from their logits."""

    samples: Int[Array, " S"]
    targets: Int[Array, " N"]
    offsets: Float[Array, " S"]
    offsets_t: Float[Array, " N"]


@dataclass(frozen=True)
class SampledLosses:
    """The row losses of a rule, of operands ``(gathered, h)`` and constants ``drawn``."""

    rule: Rule
    remove_accidental_hits: bool
    """Whether a sample that is the row's target is left out of the row."""
    dtype: np.dtype
    """Dtype of the products."""

    def losses(
        self, operands: tuple[Gathered, Array], constants: Drawn, weights: Float[Array, " N"]
    ) -> Float[Array, " N"]:
        """Return ``ℓ_n``, 0 for rows of weight 0."""
        return self._losses_and_slopes(operands, constants, weights)[0]

    def gradients(
        self, operands: tuple[Gathered, Array], constants: Drawn, weights: Float[Array, " N"]
    ) -> tuple[Array, tuple[Gathered, Array]]:
        """Return ``ℓ_n``, and the gradients of ``Σ_n weight_n ℓ_n``."""
        gathered, h = operands
        losses, slopes, slopes_t = self._losses_and_slopes(operands, constants, weights)
        narrow, wide = slopes.astype(self.dtype), slopes.dtype
        rows = h.astype(self.dtype)
        dh = matmul(narrow, gathered.w.astype(self.dtype), transpose_a=True).astype(wide)
        gradient = Gathered(
            w=matmul(narrow, rows).astype(wide),
            b=slopes.sum(1),
            w_t=slopes_t[:, None] * h.astype(wide),
            b_t=slopes_t,
        )
        return losses, (gradient, (dh + slopes_t[:, None] * gathered.w_t).astype(h.dtype))

    def _losses_and_slopes(
        self, operands: tuple[Gathered, Array], drawn: Drawn, weights: Array
    ) -> tuple[Array, Array, Array]:
        """Return losses ``[N]`` and weighted slopes ``[S, N]`` and ``[N]``, samples first to avoid transpositions."""
        (gathered, h), dtype = operands, self.dtype
        wide = gathered.b.dtype
        logits = matmul(gathered.w.astype(dtype), h.astype(dtype).T).astype(wide) + gathered.b[:, None]
        logits_t = (h.astype(wide) * gathered.w_t).sum(1) + gathered.b_t
        left_out = (drawn.samples == UNUSED)[:, None]
        if self.remove_accidental_hits:
            left_out = left_out | (drawn.samples[:, None] == drawn.targets[None])
        a = jnp.where(left_out, -jnp.inf, logits - drawn.offsets[:, None])
        losses, slopes, slopes_t = self.rule(a, logits_t - drawn.offsets_t)
        unweighted = weights == 0
        slopes = jnp.where(unweighted[None], 0, weights[None] * slopes)
        return jnp.where(unweighted, 0, losses), slopes, jnp.where(unweighted, 0, weights * slopes_t)


def sampled_loss(
    rows: SampledLosses, gathered: Gathered, drawn: Drawn, h: Float[Array, "N H"], weights: Float[Array, " N"]
) -> Float[Array, ""]:
    """Return ``Σ_n weight_n ℓ_n`` of a rule, as ``weighted_loss`` does: a sampled surrogate, not a log-likelihood."""
    return weighted_loss(rows, (gathered, h), drawn, weights)
