"""A class-factorised softmax with maximum entropy n-gram features, trained together, or the features alone."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.class_softmax import (
    ClassSoftmaxParams,
    ClassTargets,
    all_word_logits,
    class_logits,
    class_softmax_flops,
    factorised_log_probs,
    factorised_nats,
    find_targets,
    init_class_softmax,
    own_word_logits,
)
from rnnlm_jax.outputs.direct_features import DirectFeatures, Windows, whole_table_size
from rnnlm_jax.outputs.output_layer import LossByRow, OutputLayer, WithContext
from rnnlm_jax.outputs.word_classes import bin_by_frequency
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.registry.cached_factory import cached_factory


@serialized
class MaxEntParams(NamedTuple):
    """The softmax over hidden states (None without hidden units), and the table of feature weights."""

    softmax: ClassSoftmaxParams | None
    table: Float[Array, "L 16"]


class GatheredFeatures(NamedTuple):
    """What a loss reads of the parameters: the softmax, and the sums of the features of the targets' histories."""

    softmax: ClassSoftmaxParams | None
    of_classes: Float[Array, "N C"]
    of_words: Float[Array, "N W"]
    shrink: Float[Array, " N"]
    """Zeros; their gradient is the factor by which each target shrinks the weights that it reads."""


class GatheredWindows(NamedTuple):
    """The windows of the table that were read, the targets that they belong to, and the table."""

    windows: Windows
    targets: ClassTargets
    table: Float[Array, "L 16"]


@cached_factory
def maxent(
    words: WordCounts,
    order: int = 5,
    table_size: float = 2**24,
    classes: int | None = None,
    value: float = 1.0,
    l2: float = 0.0,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """The class-factorised softmax with features of the last words added to its logits (Mikolov et al. 2011, RNNME).

    With ``T`` the table and ``g_n`` a hash of the last n words,

        a_c = h W_c + b_c + Σ_{n<order} value · T[g_n + c]                 over all classes
        a_w = h U_w + u_w + Σ_{n<order} value · T'[g_n(c) + position of w]   over the words of a class

    Both are normalised exactly. Over a cell without units it is the maximum entropy n-gram model. The features of n = 0
    are those of the unigram. A history continues across the end of a sentence, as in Mikolov's toolkit (the end-of-line
    token is a word like any other); before the first word of a text it has a special word.

    Only windows that are read have a gradient, and only the lines that they are in are updated, by optimisers that
    leave other weights as they are: SGD and AdaGrad; with others a step costs a pass over the table. Clipping uses the
    exact norm of the whole gradient, the table's included.

    Args:
        words: vocabulary with word counts.
        order: N of the n-grams, 1 to 9: features of up to N - 1 words before the target.
        table_size: number of weights in the table, all 0 at first; the fewer, the more features share a weight.
        classes: C; None: ⌈√V⌉.
        value: value of a feature that is present. It scales the features' learning rate, under SGD by ``value²``, under
            AdaGrad by ``value``.
        l2: each target adds ``l2 · T`` to the gradient of each weight that it reads, as ``l2/2 · T²`` in the loss
            would: under SGD, as in Mikolov's toolkit, a weight shrinks by ``η · l2`` whenever it is read.
        dtype: dtype of matrix products.
        param_dtype: dtype of parameters and logits.

    Raises:
        ArgumentError: for an impossible order, table size, number of classes, value or l2.
    """
    binned = bin_by_frequency(words.counts, classes)
    features = DirectFeatures(binned, order, whole_table_size(table_size))
    if not 0 < value < math.inf:
        raise ArgumentError(f"`value` must be a positive number, not {value}")
    if not 0 <= l2 < math.inf:
        raise ArgumentError(f"`l2` must be at least 0, not {l2}")

    def init(key: Key, hidden_size: int, vocab_size: int) -> MaxEntParams:
        if vocab_size != binned.vocab_size:
            raise ArgumentError(f"`words` has counts of {binned.vocab_size} words, and the vocabulary has {vocab_size}")
        softmax = init_class_softmax(binned, key, hidden_size, param_dtype) if hidden_size else None
        return MaxEntParams(softmax, jnp.zeros(features.shape, param_dtype))

    def gather(params: MaxEntParams, targets: WithContext, key: Key | None) -> tuple[GatheredFeatures, GatheredWindows]:
        del key  # nothing is drawn
        found = find_targets(binned, targets.values.reshape(-1))
        windows = features.windows(_rows(targets.words), found.classes)
        sums = GatheredFeatures(
            softmax=params.softmax,
            of_classes=value * features.class_sums(params.table, windows.classes),
            of_words=value * features.word_sums(params.table, windows.words, found.classes),
            shrink=jnp.zeros(found.classes.shape, param_dtype),
        )
        return sums, GatheredWindows(windows, found, params.table)

    def row_nats(
        sums: GatheredFeatures, ids: GatheredWindows, hs: WithContext, weights: Array | None
    ) -> Float[Array, " N"]:
        of_classes, of_words = sums.of_classes, sums.of_words
        if sums.softmax is not None:
            rows, of_rows = _rows(hs.values), ids.targets.classes
            if weights is not None:
                of_rows = jnp.where(weights == 0, binned.count, of_rows)
            of_classes += class_logits(sums.softmax, rows, dtype)
            of_words += own_word_logits(binned, sums.softmax, rows, of_rows, dtype=dtype)
        return factorised_nats(binned, of_classes, of_words, ids.targets)

    def nats(params: MaxEntParams, hs: WithContext, targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        sums, ids = gather(params, WithContext(targets, hs.words), None)
        return row_nats(sums, ids, hs, None).reshape(targets.shape)

    def weighted_nats(
        sums: GatheredFeatures, ids: GatheredWindows, hs: WithContext, weights: Float[Array, " N"]
    ) -> Float[Array, ""]:
        return (weights * jnp.where(weights == 0, 0, row_nats(sums, ids, hs, weights))).sum()

    def total_nats(
        params: MaxEntParams, hs: WithContext, targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        sums, ids = gather(params, WithContext(targets, hs.words), None)
        return weighted_nats(sums, ids, hs, weights.astype(param_dtype).reshape(-1))

    def loss(
        sums: GatheredFeatures,
        ids: GatheredWindows,
        hs: WithContext,
        targets: Int[Array, "*B"],
        weights: Float[Array, "*B"],
    ) -> Float[Array, ""]:
        del targets  # `ids` has them
        weights = weights.astype(param_dtype).reshape(-1)
        return weighted_nats(sums, ids, hs, weights) + l2 * (weights * sums.shrink).sum()

    def scatter(gradient: GatheredFeatures, ids: GatheredWindows) -> Tree:
        of_sums = gradient._replace(of_classes=value * gradient.of_classes, of_words=value * gradient.of_words)
        table: Tree = features.gradient(
            ids.table,
            ids.windows,
            ids.targets.classes,
            class_gradient=of_sums.of_classes,
            word_gradient=of_sums.of_words,
            shrink=of_sums.shrink,
        )
        return MaxEntParams(gradient.softmax, table)

    def log_probs(params: MaxEntParams, h: WithContext) -> Float[Array, "*B V"]:
        context = _rows(h.words)
        of_classes = value * features.class_sums(params.table, features.class_windows(features.keys(context)))
        of_words = value * features.all_word_sums(params.table, context)
        if params.softmax is not None:
            rows = _rows(h.values)
            of_classes += class_logits(params.softmax, rows, dtype)
            of_words += all_word_logits(params.softmax, rows, dtype)
        return factorised_log_probs(binned, of_classes, of_words).reshape(*h.words.shape[:-1], -1)

    def flops(params: MaxEntParams, word_probabilities: Float[np.ndarray, " V"]) -> float:
        return 0.0 if params.softmax is None else class_softmax_flops(binned, params.softmax, word_probabilities)

    def without_features(params: MaxEntParams) -> MaxEntParams:
        return params._replace(table=jnp.zeros_like(params.table))

    return OutputLayer(
        kind="maxent",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        by_row=LossByRow(gather, loss, scatter),
        context_size=max(order - 1, 1),
        after_uniform_init=without_features,
        flops=flops,
        word_axes={"softmax.word_w": 0, "softmax.word_b": 0, "table": 0},
    )


def _rows(values: Array) -> Array:
    """Return the values with all axes but the last merged."""
    return values.reshape(-1, values.shape[-1])
