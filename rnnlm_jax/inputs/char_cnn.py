"""Word vectors composed from spellings: character vectors, convolutions, maxima, highway layers, a projection."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.inputs.distinct_words import each_distinct_word
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.inputs.spellings import ALPHABET, PAD, Spellings
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.registry.cached_factory import cached_factory

#: Positions of words that are convolved at once; blocks beyond the end of the longest word of a group are skipped.
POSITIONS = 8
ACTIVATIONS = {"tanh": tanh, "relu": jax.nn.relu}
#: Expected maximum of eight standard normal numbers: about the maximum of an untrained filter over a word.
EXPECTED_MAXIMUM = 1.4
#: Initial bias of a highway layer's gate, which lets the input pass (Srivastava et al. 2015, section 2.2).
GATE_BIAS = -2.0


@serialized
class HighwayParams(NamedTuple):
    """Matrices of the transformation and of its gate, side by side, and their biases."""

    w: Float[Array, "F 2*F"]
    b: Float[Array, " 2*F"]


@serialized
class CharCNNParams(NamedTuple):
    """Character vectors, a filter bank ``[k*C, F_k]`` for each width k, biases, highway layers, projection."""

    characters: Float[Array, "256 C"]
    filters: tuple[Float[Array, "k*C F_k"], ...]
    b: Float[Array, " F"]
    highways: tuple[HighwayParams, ...]
    w_p: Float[Array, "F D"]
    b_p: Float[Array, " D"]


def char_cnn(
    tokens: Sequence[str],
    filters: str | int = "25+50+75+100+125+150",
    characters: int = 16,
    highways: int = 1,
    activation: str = "tanh",
    max_length: int = 50,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> InputLayer:
    """A character-level convolutional network (Kim et al. 2016, section 2; Jozefowicz et al. 2016, section 3.2).

    A word of symbols ``s_1 … s_n``, its two marks included, has the vector ``W_p' y + b_p`` where

        a_f = max_{1 ≤ i ≤ n} Σ_{j<k} W_f[j] · C[s_{i+j}],    y = φ(a + b),

    for each filter f, of width k, and then for each highway layer

        y ← g relu(y W_H + b_H) + (1 - g) y,    g = σ(y W_g + b_g).

    Beyond the end of a word characters are zeros, and no window begins there: a word's vector does not depend on the
    lengths of others. ``b`` starts at minus the expected maximum, so that the filters distinguish words from the start;
    with ``b = 0`` their maxima are large for every word, and most of the gradient is common to all words.

    Args:
        tokens: the vocabulary's tokens by id.
        filters: number of filters of width 1, 2, …, separated by plus signs; the default is Kim's small model.
        characters: C, entries of a character's vector.
        highways: number of highway layers.
        activation: φ: "tanh" or "relu".
        max_length: bytes of a token that are read, its two marks included.
        dtype: dtype of the products.
        param_dtype: dtype of parameters and vectors.

    Raises:
        ArgumentError: for impossible numbers of filters, characters or layers, or an unknown activation.
    """
    counts = _filter_counts(filters)
    for name, value, least in (("characters", characters, 1), ("highways", highways, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ArgumentError(f"`{name}` must be a whole number of at least {least}, not {value!r}")
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"`activation` must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    spellings = Spellings(tokens, max_length)
    return _char_cnn(spellings, counts, characters, highways, activation, jnp.dtype(dtype), jnp.dtype(param_dtype))


@cached_factory
def _char_cnn(
    spellings: Spellings,
    counts: tuple[int, ...],
    characters: int,
    highways: int,
    activation: str,
    dtype: Any,
    param_dtype: Any,
) -> InputLayer:
    total = sum(counts)

    def init(key: Key, vocab_size: int, embedding_size: int) -> CharCNNParams:
        if vocab_size != spellings.size:
            raise ArgumentError(
                f"`spellings` of {spellings.size} tokens do not fit a vocabulary of {vocab_size}: give all"
            )
        keys = iter(jax.random.split(key, 2 + len(counts) + 2 * highways))
        glorot = jax.nn.initializers.glorot_uniform()

        def highway() -> HighwayParams:
            w = jnp.concatenate([glorot(next(keys), (total, total), param_dtype) for _ in range(2)], axis=1)
            b = jnp.concatenate([jnp.zeros((total,), param_dtype), jnp.full((total,), GATE_BIAS, param_dtype)])
            return HighwayParams(w, b)

        return CharCNNParams(
            characters=jax.random.normal(next(keys), (ALPHABET, characters), param_dtype),
            filters=tuple(
                glorot(next(keys), (k * characters, count), param_dtype) for k, count in enumerate(counts, 1)
            ),
            b=jnp.concatenate([_initial_bias(k * characters, count, param_dtype) for k, count in enumerate(counts, 1)]),
            highways=tuple(highway() for _ in range(highways)),
            w_p=glorot(next(keys), (total, embedding_size), param_dtype),
            b_p=jnp.zeros((embedding_size,), param_dtype),
        )

    def product(x: Array, w: Array) -> Array:
        return matmul(x.astype(dtype), w.astype(dtype)).astype(param_dtype)

    def side_by_side(filters: tuple[Array, ...]) -> Float[Array, "KC F"]:
        """Return the banks as one matrix, zeros below the narrow ones: one large product with a few more terms."""
        tallest = len(counts) * characters
        return jnp.concatenate([jnp.pad(w, ((0, tallest - w.shape[0]), (0, 0))) for w in filters], axis=1)

    def convolve(
        vectors: Float[Array, "256 C"], bank: Float[Array, "KC F"], symbols: Int[Array, "N S"], left: Int[Array, " N"]
    ) -> Float[Array, "N F"]:
        """Return the maxima over windows that begin at ``POSITIONS`` symbols, the first ``left`` of which count."""
        xs = jnp.where((symbols == PAD)[..., None], 0, vectors.astype(dtype)[symbols])
        windows = jnp.concatenate([xs[:, j : j + POSITIONS] for j in range(len(counts))], axis=-1)
        a = product(windows.reshape(-1, windows.shape[-1]), bank).reshape(-1, POSITIONS, total)
        within = jnp.arange(POSITIONS, dtype=left.dtype)[None, :, None] < left[:, None, None]
        return jnp.where(within, a, -jnp.inf).max(axis=1)

    def finish(params: CharCNNParams, a: Float[Array, "N F"]) -> Float[Array, "N D"]:
        y = ACTIVATIONS[activation](a + over_batch(params.b, a))
        for layer in params.highways:
            products = product(y, layer.w)
            candidate, gate = jnp.split(products + over_batch(layer.b, products), 2, axis=-1)
            y = interpolate(sigmoid(gate), sigmoid(-gate), jax.nn.relu(candidate), y)
        vectors = product(y, params.w_p)
        return vectors + over_batch(params.b_p, vectors)

    blocks = -(-spellings.table.shape[1] // POSITIONS)
    lookahead = len(counts) - 1

    def compose(
        params: CharCNNParams, bank: Float[Array, "KC F"], symbols: Int[Array, "N L"], lengths: Int[Array, " N"]
    ) -> Float[Array, "N D"]:
        """Return the vectors of words, the longest of which comes first."""
        width = blocks * POSITIONS + lookahead
        symbols = jnp.pad(symbols, ((0, 0), (0, width - symbols.shape[1])), constant_values=PAD)
        a = convolve(params.characters, bank, symbols[:, : POSITIONS + lookahead], lengths)
        for start in range(POSITIONS, blocks * POSITIONS, POSITIONS):
            block = symbols[:, start : start + POSITIONS + lookahead]

            def extended(a: Array, block: Array = block, start: int = start) -> Array:
                return jnp.maximum(a, convolve(params.characters, bank, block, lengths - start))

            a = jax.lax.cond(lengths[0] > start, extended, lambda a: a, a)
        return finish(params, a)

    def embed(params: CharCNNParams, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        with_params = functools.partial(compose, params, side_by_side(params.filters))
        ids, size = as_whole_numbers("ids", ids), params.b_p.shape[0]
        return each_distinct_word(with_params, spellings, ids, size=size, dtype=param_dtype)

    def table(params: CharCNNParams) -> Float[Array, "V D"]:
        return embed(params, jnp.arange(spellings.size, dtype=jnp.int32))

    def flops(params: CharCNNParams, word_probabilities: Float[np.ndarray, " V"], tokens: int) -> float:
        """Count each distinct word of a batch once; a window begins at every symbol of a word."""
        per_symbol = sum(matrix_flops(bank) for bank in params.filters)
        per_word = sum(matrix_flops(layer) for layer in params.highways) + matrix_flops(params.w_p)
        in_batch = -np.expm1(tokens * np.log1p(-np.minimum(word_probabilities, 1 - 1e-12)))
        return float(in_batch @ (spellings.lengths * per_symbol + per_word)) / tokens

    return InputLayer("char-cnn", init, embed, table, flops=flops, word_axes={})


def _initial_bias(fan_in: int, fan_out: int, dtype: Any) -> Float[Array, " F_k"]:
    """Return minus the expected maximum over a word of filters with Glorot's initial values, for normal characters."""
    deviation = math.sqrt(fan_in * 2 / (fan_in + fan_out))
    return jnp.full((fan_out,), -EXPECTED_MAXIMUM * deviation, dtype)


def _filter_counts(filters: str | int) -> tuple[int, ...]:
    """Return the numbers of ``"32+32+64"``.

    Raises:
        ArgumentError: for any other form.
    """
    parts = str(filters).split("+")
    if isinstance(filters, bool) or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ArgumentError(
            f"`filters` must be counts for widths 1, 2, … with plus signs between, as 32+32+64, not {filters!r}"
        )
    return tuple(map(int, parts))
