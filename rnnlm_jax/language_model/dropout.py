"""Dropout on the non-recurrent connections of a language model."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.errors import ArgumentError

#: Folded into a step's key for the latents of the output layer.
LATENT_DRAWS = 2**32 - 8


@dataclass(frozen=True)
class Dropout:
    """Dropout rates on the embedding (``input``), between layers (``hidden``) and after the highest (``output``).

    ``latent`` is the rate on what an output layer multiplies with its matrix of words: after the projection of tied
    embeddings (Melis et al. 2018), or on the components of a mixture of softmaxes (Yang et al. 2018, "dropoutl").

    Raises:
        ArgumentError: if a rate is not in [0, 1).
    """

    input: float = 0.0
    hidden: float = 0.0
    output: float = 0.0
    locked: bool = False
    """Whether one mask serves all steps of a segment (variational dropout, Gal & Ghahramani 2016, section 4); otherwise
    each step has its own (Zaremba et al. 2014, section 3.1)."""
    sharded_over: str | None = None
    """Name of the ``shard_map`` axis over which the batch is sharded, if any: each device then uses its columns of the
    masks that one device would draw."""
    latent: float = 0.0

    @property
    def is_active(self) -> bool:
        """Whether any rate is above 0."""
        return any((self.input, self.hidden, self.output, self.latent))

    def layer_input(
        self, layer: int | Int[Array, ""], key: Key | None, xs: Float[Array, "T *B D"]
    ) -> Float[Array, "T *B D"]:
        """Return the inputs of a recurrent layer after dropout.

        Args:
            layer: number of the layer, 0 for the lowest; a traced number is that of a layer above the lowest.
            key: key of the step; None: no dropout.
            xs: inputs before dropout.
        """
        rate = self.input if isinstance(layer, int) and layer == 0 else self.hidden
        return self.apply(rate, None if key is None else jax.random.fold_in(key, layer), xs)

    def layer_output(self, key: Key | None, hs: Float[Array, "T *B H"]) -> Float[Array, "T *B H"]:
        """Return the outputs of the highest layer after dropout."""
        return self.apply(self.output, None if key is None else jax.random.fold_in(key, -1 % 2**32), hs)

    def latents(self, key: Key | None, values: Float[Array, "T *B D"]) -> Float[Array, "T *B D"]:
        """Return the latents of an output layer after dropout."""
        return self.apply(self.latent, None if key is None else jax.random.fold_in(key, LATENT_DRAWS), values)

    def __post_init__(self) -> None:
        """Check the rates."""
        for name in ("input", "hidden", "output", "latent"):
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate < 1.0:
                raise ArgumentError(f"dropout rate {name} must be at least 0 and below 1, not {rate!r}")

    def apply(self, rate: float, key: Key | None, xs: Float[Array, "T *B D"]) -> Float[Array, "T *B D"]:
        """Return ``x · m / (1 - rate)`` with ``m ~ Bernoulli(1 - rate)``; ``x`` itself without a key or a rate."""
        if key is None or rate == 0.0:
            return xs
        shape = (1, *xs.shape[1:]) if self.locked else xs.shape
        # Always float32: the same key draws the same mask with and without JAX_ENABLE_X64.
        keep_rate = jnp.asarray(1.0 - rate, jnp.float32)
        keep = self._own_columns(jax.random.bernoulli(key, keep_rate, self._global_shape(shape)), xs)
        return jnp.where(keep, xs / jnp.asarray(1.0 - rate, xs.dtype), jnp.zeros((), xs.dtype))

    def _global_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a mask for the columns of all devices."""
        if self.sharded_over is None:
            return shape
        return (shape[0], shape[1] * jax.lax.axis_size(self.sharded_over), *shape[2:])

    def _own_columns(self, keep: Array, xs: Array) -> Array:
        """Return this device's columns of a mask."""
        if self.sharded_over is None:
            return keep
        first = jax.lax.axis_index(self.sharded_over) * xs.shape[1]
        return jax.lax.dynamic_slice_in_dim(keep, first, xs.shape[1], axis=1)
