"""The class-factorised softmax: first the word's class, then the word among those of its class."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.outputs.class_products import class_products, tiles_of
from rnnlm_jax.outputs.cross_entropy import cross_entropy
from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.outputs.word_classes import WordClasses, bin_by_frequency
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.registry.cached_factory import cached_factory


@serialized
class ClassSoftmaxParams(NamedTuple):
    """Matrices and biases of classes and of words; words are in the order of their ranks, a class is a run of rows."""

    class_w: Float[Array, "H C"]
    class_b: Float[Array, " C"]
    word_w: Float[Array, "V H"]
    word_b: Float[Array, " V"]


class ClassTargets(NamedTuple):
    """Targets as a class and a word within it."""

    classes: Int[Array, " N"]
    positions: Int[Array, " N"]
    """Position of the word in its class."""
    valid: Bool[Array, " N"]
    """Whether the target is a word."""


def find_targets(classes: WordClasses, targets: Int[Array, " N"]) -> ClassTargets:
    """Return the class and position of each target; a negative target counts from the end of the vocabulary."""
    targets = jnp.where(targets < 0, targets + classes.vocab_size, targets).astype(jnp.int32)
    valid = (targets >= 0) & (targets < classes.vocab_size)
    ids = jnp.where(valid, targets, 0)
    ranks = ids if classes.sorted_already else jnp.asarray(classes.rank)[ids]
    of_targets = jnp.asarray(classes.class_of)[ranks]
    return ClassTargets(of_targets, ranks - jnp.asarray(classes.starts)[of_targets], valid)


def factorised_nats(
    classes: WordClasses,
    class_logits: Float[Array, "N C"],
    word_logits: Float[Array, "N W"],
    targets: ClassTargets,
) -> Float[Array, " N"]:
    """Return ``-log P(c | h) - log P(w | c, h)`` in nats.

    Args:
        classes: the classes.
        class_logits: logits of all classes.
        word_logits: logits of the words of the target's class; columns beyond the class are ignored.
        targets: the targets.
    """
    columns = jax.lax.broadcasted_iota(jnp.int32, word_logits.shape, 1)
    inside = columns < jnp.asarray(classes.sizes)[targets.classes][:, None]
    of_words = cross_entropy(jnp.where(inside, word_logits, -jnp.inf), targets.positions)
    nats = cross_entropy(class_logits, targets.classes) + of_words
    return jnp.where(targets.valid, nats, jnp.nan)


def class_slices(classes: WordClasses, values: Float[Array, " V"], of_rows: Int[Array, " N"]) -> Float[Array, "N W"]:
    """Return for each row the values of the words of its class, and any finite numbers beyond."""
    padded = jnp.pad(values, (0, classes.width))
    starts = jnp.asarray(classes.starts)[of_rows]
    return jax.vmap(lambda start: jax.lax.dynamic_slice(padded, (start,), (classes.width,)))(starts)


def factorised_log_probs(
    classes: WordClasses, class_logits: Float[Array, "N C"], word_logits: Float[Array, "N V"]
) -> Float[Array, "N V"]:
    """Return ``log P(v | h)`` of every word id from the logits of all classes, and of all words by rank."""
    class_log_probs = jax.nn.log_softmax(class_logits, axis=1)
    class_of = jnp.asarray(classes.class_of)
    by_word = word_logits.T
    sums = functools.partial(jax.ops.segment_sum, segment_ids=class_of, num_segments=classes.count)
    largest = jax.ops.segment_max(by_word, class_of, classes.count, indices_are_sorted=True)
    below = by_word - largest[class_of]
    by_rank = class_log_probs.T[class_of] + below - jnp.log(sums(jnp.exp(below)))[class_of]
    return (by_rank if classes.sorted_already else by_rank[jnp.asarray(classes.rank)]).T


@cached_factory
def class_softmax(
    words: WordCounts, classes: int | None = None, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32
) -> OutputLayer:
    """The class-factorised softmax, ``P(w | h) = P(c(w) | h) · P(w | c(w), h)``, of about √V logits each.

    It is that of Goodman 2001 and of Mikolov et al. 2011 (ICASSP, section 4). Classes are bins of the unigram
    distribution; each word is in one. Loss and gradient are exact, and formed from the logits of all classes and of the
    words of the target's class only.

    Args:
        words: vocabulary with word counts.
        classes: C; None: ⌈√V⌉.
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.

    Raises:
        ArgumentError: if the vocabulary is empty, or C is not between 1 and V.
    """
    binned = bin_by_frequency(words.counts, classes)

    def init(key: Key, hidden_size: int, vocab_size: int) -> ClassSoftmaxParams:
        if vocab_size != binned.vocab_size:
            raise ArgumentError(f"`words` has counts of {binned.vocab_size} words, and the vocabulary has {vocab_size}")
        return init_class_softmax(binned, key, hidden_size, param_dtype)

    def nats(params: ClassSoftmaxParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        ones = jnp.ones((targets.size,), param_dtype)
        return row_nats(binned, params, hs, targets, weights=ones, dtype=dtype).reshape(targets.shape)

    def total_nats(
        params: ClassSoftmaxParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        weights = as_floats("weights", weights, param_dtype).astype(param_dtype).reshape(-1)
        nats_of_rows = row_nats(binned, params, hs, targets, weights=weights, dtype=dtype)
        return (weights * jnp.where(weights == 0, 0, nats_of_rows)).sum()

    def log_probs(params: ClassSoftmaxParams, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        h = as_floats("h", h, param_dtype)
        rows = h.reshape(-1, h.shape[-1])
        of_classes, of_words = class_logits(params, rows, dtype), all_word_logits(params, rows, dtype)
        return factorised_log_probs(binned, of_classes, of_words).reshape(*h.shape[:-1], -1)

    def flops(params: ClassSoftmaxParams, word_probabilities: Float[np.ndarray, " V"]) -> float:
        return class_softmax_flops(binned, params, word_probabilities)

    return OutputLayer(
        kind="class",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        flops=flops,
        word_axes={"word_w": 0, "word_b": 0},
    )


def class_softmax_flops(
    classes: WordClasses, params: ClassSoftmaxParams, word_probabilities: Float[np.ndarray, " V"]
) -> float:
    """Return ``2 H (C + E)``, E the expected size of the target's class; see ``OutputFlopsFn``."""
    expected_size = float(word_probabilities @ classes.sizes[classes.class_of[classes.rank]])
    return 2.0 * params.class_w.shape[0] * (classes.count + expected_size)


def init_class_softmax(classes: WordClasses, key: Key, hidden_size: int, dtype: Any) -> ClassSoftmaxParams:
    """Draw matrices as Glorot & Bengio 2010, the words' like those of a full softmax; biases are 0."""
    k_class, k_word = jax.random.split(key)
    draw = jax.nn.initializers.glorot_uniform()
    return ClassSoftmaxParams(
        class_w=draw(k_class, (hidden_size, classes.count), dtype),
        class_b=jnp.zeros((classes.count,), dtype),
        word_w=draw(k_word, (classes.vocab_size, hidden_size), dtype),
        word_b=jnp.zeros((classes.vocab_size,), dtype),
    )


def class_logits(params: ClassSoftmaxParams, h: Float[Array, "N H"], dtype: Any) -> Float[Array, "N C"]:
    """Return ``h W + b`` of every class."""
    product = matmul(h.astype(dtype), params.class_w.astype(dtype)).astype(params.class_b.dtype)
    return product + over_batch(params.class_b, product)


def own_word_logits(
    classes: WordClasses,
    params: ClassSoftmaxParams,
    h: Float[Array, "N H"],
    of_rows: Int[Array, " N"],
    *,
    dtype: Any,
) -> Float[Array, "N W"]:
    """Return ``h w + b`` of the words of each row's class; for class C (no class) any finite numbers."""
    tiles = tiles_of(classes, of_rows)
    product = class_products(h.astype(dtype), params.word_w.astype(dtype), tiles, classes.width)
    return product.astype(params.word_b.dtype) + class_slices(classes, params.word_b, of_rows)


def all_word_logits(params: ClassSoftmaxParams, h: Float[Array, "N H"], dtype: Any) -> Float[Array, "N V"]:
    """Return ``h w + b`` of every word, by rank."""
    product = matmul(h.astype(dtype), params.word_w.astype(dtype), transpose_b=True).astype(params.word_b.dtype)
    return product + over_batch(params.word_b, product)


def row_nats(
    classes: WordClasses,
    params: ClassSoftmaxParams,
    hs: Float[Array, "*B H"],
    targets: Int[Array, "*B"],
    *,
    weights: Float[Array, " N"],
    dtype: Any,
) -> Float[Array, " N"]:
    """Return ``-log P(target | h)`` in nats; logits of words are not computed for rows of weight 0."""
    rows = hs.reshape(-1, hs.shape[-1])
    found = find_targets(classes, targets.reshape(-1))
    of_rows = jnp.where(weights == 0, classes.count, found.classes)
    words = own_word_logits(classes, params, rows, of_rows, dtype=dtype)
    return factorised_nats(classes, class_logits(params, rows, dtype), words, found)
