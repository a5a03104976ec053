"""A softmax in two steps, first the word's class and then the word among those of its class."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.errors import UserError
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.outputs.class_products import class_products, tiles_of
from rnnlm_jax.outputs.cross_entropy import cross_entropy
from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.outputs.word_classes import WordClasses, bin_by_frequency
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.registry.cached_factory import cached_factory


@serialized
class ClassSoftmaxParams(NamedTuple):
    """Matrices and biases of classes and of words; words lie by rank, so that a class is a run of rows."""

    class_w: Float[Array, "H C"]
    class_b: Float[Array, " C"]
    word_w: Float[Array, "V H"]
    word_b: Float[Array, " V"]


class ClassTargets(NamedTuple):
    """Targets as the factorisation has them."""

    classes: Int[Array, " N"]
    places: Int[Array, " N"]
    """Of the word in its class."""
    valid: Bool[Array, " N"]
    """Whether the target is a word at all."""


def find_targets(classes: WordClasses, targets: Int[Array, " N"]) -> ClassTargets:
    """The class of each target and its place there; a negative target counts from the end of the vocabulary."""
    targets = jnp.where(targets < 0, targets + classes.vocab_size, targets).astype(jnp.int32)
    valid = (targets >= 0) & (targets < classes.vocab_size)
    ids = jnp.where(valid, targets, 0)
    ranks = ids if classes.sorted_already else jnp.asarray(classes.rank)[ids]
    found = jnp.asarray(classes.class_of)[ranks]
    return ClassTargets(found, ranks - jnp.asarray(classes.starts)[found], valid)


def factorised_nats(
    classes: WordClasses,
    class_logits: Float[Array, "N C"],
    word_logits: Float[Array, "N W"],
    targets: ClassTargets,
) -> Float[Array, " N"]:
    """``-log P(c | h) - log P(w | c, h)`` from the logits of all classes and of the words of the target's class.

    What ``word_logits`` holds beyond the class does not count.
    """
    columns = jax.lax.broadcasted_iota(jnp.int32, word_logits.shape, 1)
    inside = columns < jnp.asarray(classes.sizes)[targets.classes][:, None]
    of_words = cross_entropy(jnp.where(inside, word_logits, -jnp.inf), targets.places)
    nats = cross_entropy(class_logits, targets.classes) + of_words
    return jnp.where(targets.valid, nats, jnp.nan)


def class_slices(classes: WordClasses, values: Float[Array, " V"], of_rows: Int[Array, " N"]) -> Float[Array, "N W"]:
    """For each row what belongs to the words of its class, and anything finite beyond."""
    padded = jnp.pad(values, (0, classes.width))
    starts = jnp.asarray(classes.starts)[of_rows]
    return jax.vmap(lambda start: jax.lax.dynamic_slice(padded, (start,), (classes.width,)))(starts)


def factorised_log_probs(
    classes: WordClasses, class_logits: Float[Array, "N C"], word_logits: Float[Array, "N V"]
) -> Float[Array, "N V"]:
    """``log P(v | h)`` of every word id from the logits of all classes and of all words, these by rank."""
    of_classes = jax.nn.log_softmax(class_logits, axis=1)
    class_of = jnp.asarray(classes.class_of)
    by_word = word_logits.T
    sums = functools.partial(jax.ops.segment_sum, segment_ids=class_of, num_segments=classes.count)
    largest = jax.ops.segment_max(by_word, class_of, classes.count, indices_are_sorted=True)
    below = by_word - largest[class_of]
    found = of_classes.T[class_of] + below - jnp.log(sums(jnp.exp(below)))[class_of]
    return (found if classes.sorted_already else found[jnp.asarray(classes.rank)]).T


@cached_factory
def class_softmax(
    words: Words, classes: int | None = None, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32
) -> OutputLayer:
    """``P(w | h) = P(c(w) | h) · P(w | c(w), h)``, two softmaxes of about √V logits each.

    It is that of Goodman 2001 and of Mikolov et al. 2011 (ICASSP, section 4). Classes are bins of the unigram
    distribution, each word is in one. Loss and gradient are formed from the logits of all classes and of the words of
    the target's class only, exactly.

    Args:
        words: of the vocabulary, with their training counts.
        classes: C, ⌈√V⌉ unless given.
        dtype: of the products; the logits and all that follows are in ``param_dtype``.
        param_dtype: of the parameters.

    Raises:
        UserError: if there are no words, or C is not between 1 and V.
    """
    binned = bin_by_frequency(words.counts, classes)

    def init(key: Key, hidden_size: int, vocab_size: int) -> ClassSoftmaxParams:
        if vocab_size != binned.vocab_size:
            raise UserError(f"the counts are of {binned.vocab_size} words, and the vocabulary has {vocab_size}")
        return init_class_softmax(binned, key, hidden_size, param_dtype)

    def nats(params: ClassSoftmaxParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        ones = jnp.ones((targets.size,), param_dtype)
        return row_nats(binned, params, hs, targets, ones, dtype).reshape(targets.shape)

    def total_nats(
        params: ClassSoftmaxParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        weights = as_floats("weights", weights, param_dtype).astype(param_dtype).reshape(-1)
        found = row_nats(binned, params, hs, targets, weights, dtype)
        return (weights * jnp.where(weights == 0, 0, found)).sum()

    def log_probs(params: ClassSoftmaxParams, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        h = as_floats("h", h, param_dtype)
        rows = h.reshape(-1, h.shape[-1])
        found = factorised_log_probs(binned, class_logits(params, rows, dtype), all_word_logits(params, rows, dtype))
        return found.reshape(*h.shape[:-1], -1)

    return OutputLayer("class", init, nats, total_nats, log_probs)


def init_class_softmax(classes: WordClasses, key: Key, hidden_size: int, dtype: Any) -> ClassSoftmaxParams:
    """Matrices as Glorot & Bengio 2010 draw them for the full softmax of as many words, biases 0."""
    k_class, k_word = jax.random.split(key)
    draw = jax.nn.initializers.glorot_uniform()
    return ClassSoftmaxParams(
        class_w=draw(k_class, (hidden_size, classes.count), dtype),
        class_b=jnp.zeros((classes.count,), dtype),
        word_w=draw(k_word, (classes.vocab_size, hidden_size), dtype),
        word_b=jnp.zeros((classes.vocab_size,), dtype),
    )


def class_logits(params: ClassSoftmaxParams, h: Float[Array, "N H"], dtype: Any) -> Float[Array, "N C"]:
    """``h W + b`` of every class."""
    product = matmul(h.astype(dtype), params.class_w.astype(dtype)).astype(params.class_b.dtype)
    return product + over_batch(params.class_b, product)


def own_word_logits(
    classes: WordClasses,
    params: ClassSoftmaxParams,
    h: Float[Array, "N H"],
    of_rows: Int[Array, " N"],
    dtype: Any,
) -> Float[Array, "N W"]:
    """``h w + b`` of the words of each row's class; a row of class C has none, and only its bias is right."""
    tiles = tiles_of(classes, of_rows)
    product = class_products(h.astype(dtype), params.word_w.astype(dtype), tiles, classes.width)
    return product.astype(params.word_b.dtype) + class_slices(classes, params.word_b, of_rows)


def all_word_logits(params: ClassSoftmaxParams, h: Float[Array, "N H"], dtype: Any) -> Float[Array, "N V"]:
    """``h w + b`` of every word, by rank."""
    product = matmul(h.astype(dtype), params.word_w.astype(dtype), transpose_b=True).astype(params.word_b.dtype)
    return product + over_batch(params.word_b, product)


def row_nats(
    classes: WordClasses,
    params: ClassSoftmaxParams,
    hs: Float[Array, "*B H"],
    targets: Int[Array, "*B"],
    weights: Float[Array, " N"],
    dtype: Any,
) -> Float[Array, " N"]:
    """``-log P(target | h)`` in nats; nothing is computed for words where the weight is 0."""
    rows = hs.reshape(-1, hs.shape[-1])
    found = find_targets(classes, targets.reshape(-1))
    counted = jnp.where(weights == 0, classes.count, found.classes)
    words = own_word_logits(classes, params, rows, counted, dtype)
    return factorised_nats(classes, class_logits(params, rows, dtype), words, found)
