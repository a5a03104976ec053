"""Dropout on the non-recurrent connections of a language model."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.errors import UserError


@dataclass(frozen=True)
class Dropout:
    """Rates on the embedding (``input``), between layers (``hidden``) and before the softmax (``output``).

    With ``locked`` one mask serves all steps of a window (Gal & Ghahramani 2016, section 4); without, each step draws
    its own (Zaremba et al. 2014, section 3.1). Under ``shard_map`` with the batch divided over an axis of devices,
    ``divided_over`` names that axis: each device draws its columns of the masks that one device would draw.

    Raises:
        UserError: if a rate is not in [0, 1).
    """

    input: float = 0.0
    hidden: float = 0.0
    output: float = 0.0
    locked: bool = False
    divided_over: str | None = None

    def __post_init__(self) -> None:
        """Check the rates."""
        for name in ("input", "hidden", "output"):
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate < 1.0:
                raise UserError(f"dropout rate {name} must be at least 0 and below 1, not {rate!r}")

    def apply(self, rate: float, key: Key | None, xs: Float[Array, "T B D"]) -> Float[Array, "T B D"]:
        """``x · m / (1 - rate)`` with ``m ~ Bernoulli(1 - rate)``; ``x`` itself without a key or a rate."""
        if key is None or rate == 0.0:
            return xs
        shape = (1, *xs.shape[1:]) if self.locked else xs.shape
        # In float32 always: the same key draws the same mask whether JAX_ENABLE_X64 is set or not.
        keep = self._columns(jax.random.bernoulli(key, jnp.asarray(1.0 - rate, jnp.float32), self._whole(shape)), xs)
        return jnp.where(keep, xs / jnp.asarray(1.0 - rate, xs.dtype), jnp.zeros((), xs.dtype))

    def _whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a mask for the columns of all devices."""
        if self.divided_over is None:
            return shape
        return (shape[0], shape[1] * jax.lax.axis_size(self.divided_over), *shape[2:])

    def _columns(self, keep: Array, xs: Array) -> Array:
        """Those of a whole mask that are this device's."""
        if self.divided_over is None:
            return keep
        first = jax.lax.axis_index(self.divided_over) * xs.shape[1]
        return jax.lax.dynamic_slice_in_dim(keep, first, xs.shape[1], axis=1)
