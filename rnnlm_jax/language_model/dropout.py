"""Dropout in a language model: on words, on connections between layers, on the recurrent state and on its weights."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.weight_drop import weight_drop
from rnnlm_jax.errors import ArgumentError

# Folded into a step's key for each kind of mask. A layer's inputs have its number, draws of the output layer 2³² - 2.
OUTPUT, WORD, EMBEDDING, STATE, WEIGHT, ZONEOUT, LATENT = (2**32 - n for n in (1, 3, 4, 5, 6, 7, 8))
#: The fields of ``Dropout`` that are rates.
_RATES = ("input", "hidden", "output", "latent", "embedding", "word", "state", "weight")


@dataclass(frozen=True)
class Dropout:
    """Dropout rates of a language model; each is the probability of dropping, and 0 switches it off.

    Masks are drawn in training only, from the key of a step. What is kept is divided by ``1 - rate``, except for
    ``word``.

    Raises:
        ArgumentError: if a rate is not in [0, 1), or ``word`` has no ``unknown_id``.
    """

    input: float = 0.0
    """On the vectors of the inputs, before the lowest layer (Zaremba et al. 2014, section 3.1)."""
    hidden: float = 0.0
    """On the inputs of every layer above the lowest."""
    output: float = 0.0
    """On the outputs of the highest layer, before the output layer."""
    locked: bool = False
    """Whether the masks of ``input``, ``hidden`` and ``output`` are the same for all steps of a batch (variational
    dropout, Gal & Ghahramani 2016, section 4). Each sequence, layer and batch still has its own mask. Otherwise each
    step has its own, too (Zaremba et al. 2014, section 3.1)."""
    sharded_over: str | None = None
    """Name of the ``shard_map`` axis over which the batch is sharded, if any: each device then uses its columns of the
    masks that one device would draw."""
    latent: float = 0.0
    """On what an output layer multiplies with its matrix of words: after the projection of tied embeddings (Melis et
    al. 2018), or on the components of a mixture of softmaxes (Yang et al. 2018, "dropoutl")."""
    embedding: float = 0.0
    """On whole words of the vocabulary: a word's vector is zero everywhere in a batch, or nowhere (Gal & Ghahramani
    2016, section 4.2; Merity et al. 2018, section 4.3). An output matrix tied to the embedding is not dropped."""
    word: float = 0.0
    """On input tokens, each by itself: a dropped token is replaced by ``unknown_id`` (Iyyer et al. 2015; Bowman et al.
    2016, section 3.1). Targets stay. N-gram features of an output layer read the replaced tokens, too."""
    unknown_id: int | None = None
    """Id of the token that ``word`` puts in place of others."""
    state: float = 0.0
    """On the state that enters the recurrent product, one mask for all steps of a batch, for each sequence and layer
    (Gal & Ghahramani 2016, eq. 7; Melis et al. 2018), see ``cells.state_dropout``."""
    weight: float = 0.0
    """On the entries of the recurrent matrices, one mask for all steps and sequences of a batch (Merity et al. 2018,
    section 2), see ``cells.weight_drop``."""

    def __post_init__(self) -> None:
        """Check the rates."""
        for name in _RATES:
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate < 1.0:
                raise ArgumentError(f"dropout rate {name} must be at least 0 and below 1, not {rate!r}")
        if self.word and self.unknown_id is None:
            raise ArgumentError("dropout of words needs `unknown_id`, the token that takes their place")

    @property
    def is_active(self) -> bool:
        """Whether any rate is above 0."""
        return any(getattr(self, name) for name in _RATES)

    def replace_words(self, key: Key | None, inputs: Int[Array, "T *B"]) -> Int[Array, "T *B"]:
        """Return the input tokens after word dropout; the tokens themselves without a key or a rate."""
        if key is None or self.word == 0.0:
            return inputs
        inputs = as_whole_numbers("tokens", inputs)
        keep = self._draw(jax.random.fold_in(key, WORD), self.word, inputs.shape)
        return jnp.where(keep, inputs, jnp.asarray(self.unknown_id, inputs.dtype))

    def embedded(
        self, key: Key | None, xs: Float[Array, "T *B D"], inputs: Int[Array, "T *B"] | None, vocab_size: int
    ) -> Float[Array, "T *B D"]:
        """Return the vectors of the inputs after embedding dropout; the vectors themselves without a key or a rate.

        Args:
            key: key of the step.
            xs: vectors of the inputs.
            inputs: the token ids: equal ids are dropped together.
            vocab_size: V.

        Raises:
            ArgumentError: if the token ids are needed and None.
        """
        if key is None or self.embedding == 0.0:
            return xs
        if inputs is None:
            raise ArgumentError("embedding dropout needs the token ids: give `inputs`")
        keep_rate = jnp.asarray(1.0 - self.embedding, jnp.float32)
        keep = jax.random.bernoulli(jax.random.fold_in(key, EMBEDDING), keep_rate, (vocab_size,))
        return _scaled(self.embedding, keep[inputs][..., None], xs)

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
        return self.apply(self.output, None if key is None else jax.random.fold_in(key, OUTPUT), hs)

    def latents(self, key: Key | None, values: Float[Array, "T *B D"]) -> Float[Array, "T *B D"]:
        """Return the latents of an output layer after dropout."""
        return self.apply(self.latent, None if key is None else jax.random.fold_in(key, LATENT), values)

    def cell_params(self, key: Key | None, cell: Cell, params: Tree) -> Tree:
        """Return the parameters of the cells after weight drop; the parameters themselves without a key or a rate."""
        if key is None or self.weight == 0.0:
            return params
        return weight_drop(cell, params, self.weight, jax.random.fold_in(key, WEIGHT))

    def apply(self, rate: float, key: Key | None, xs: Float[Array, "T *B D"]) -> Float[Array, "T *B D"]:
        """Return ``x · m / (1 - rate)`` with ``m ~ Bernoulli(1 - rate)``; ``x`` itself without a key or a rate."""
        if key is None or rate == 0.0:
            return xs
        shape = (1, *xs.shape[1:]) if self.locked else xs.shape
        return _scaled(rate, self._draw(key, rate, shape), xs)

    def all_sequences(self, count: int) -> int:
        """Return the number of sequences on all devices, ``count`` on each."""
        return count if self.sharded_over is None else count * jax.lax.axis_size(self.sharded_over)

    def own_sequences(self, masks: Tree, count: int, axis: int) -> Tree:
        """Return this device's part of masks for the sequences of all devices.

        Args:
            masks: arrays.
            count: the number of sequences on this device.
            axis: the axis of sequences.
        """
        if self.sharded_over is None:
            return masks
        first = jax.lax.axis_index(self.sharded_over) * count
        return jax.tree.map(lambda mask: jax.lax.dynamic_slice_in_dim(mask, first, count, axis=axis), masks)

    def _draw(self, key: Key, rate: float, shape: tuple[int, ...]) -> Bool[Array, "..."]:
        """Draw what is kept, of shape ``[T, B, …]`` or ``[1, B, …]``."""
        # Always float32: the same key draws the same mask with and without JAX_ENABLE_X64.
        keep_rate = jnp.asarray(1.0 - rate, jnp.float32)
        if self.sharded_over is None:
            return jax.random.bernoulli(key, keep_rate, shape)
        keep = jax.random.bernoulli(key, keep_rate, (shape[0], self.all_sequences(shape[1]), *shape[2:]))
        return self.own_sequences(keep, shape[1], axis=1)


def _scaled(rate: float, keep: Bool[Array, "..."], xs: Array) -> Array:
    """Return ``x / (1 - rate)`` where it is kept, and 0 elsewhere."""
    return jnp.where(keep, xs / jnp.asarray(1.0 - rate, xs.dtype), jnp.zeros((), xs.dtype))
