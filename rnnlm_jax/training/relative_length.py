"""The length of a window relative to the base length, which scales the learning rate of windows of random length."""

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float


def relative_length(mask: Bool[Array, "T B"], bptt: int) -> Float[Array, ""]:
    """Return ``l / T`` of a padded window of l steps, the factor of its update (Merity et al. 2018, sec. 4.1).

    Without it, short windows would have a larger effect on the parameters than their number of tokens.

    Args:
        mask: which targets count; a step at which none does is padding.
        bptt: base length T.
    """
    return mask.any(axis=1).sum(dtype=jnp.float32) / jnp.float32(bptt)
