"""Maximum entropy n-gram features beside a class-factorised softmax, trained together, or alone."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.class_softmax import (
    ClassSoftmaxParams,
    ClassTargets,
    all_word_logits,
    class_logits,
    factorised_log_probs,
    factorised_nats,
    find_targets,
    init_class_softmax,
    own_word_logits,
)
from rnnlm_jax.outputs.direct_features import DirectFeatures, Windows
from rnnlm_jax.outputs.output_layer import LossByRow, OutputLayer, WithPast
from rnnlm_jax.outputs.word_classes import bin_by_frequency
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.registry.cached_factory import cached_factory


@serialized
class MaxEntParams(NamedTuple):
    """The table of features, and the softmax over hidden states; None where there are no hidden units."""

    softmax: ClassSoftmaxParams | None
    table: Float[Array, "L 16"]


class ReadFeatures(NamedTuple):
    """What a loss reads: the softmax, and the features' sums for the targets' histories."""

    softmax: ClassSoftmaxParams | None
    of_classes: Float[Array, "N C"]
    of_words: Float[Array, "N W"]
    shrink: Float[Array, " N"]
    """Zeros, whose gradient is by how much each target shrinks the weights that it reads."""


class Read(NamedTuple):
    """Of what: where the windows begin in the table, and whose they are."""

    windows: Windows
    targets: ClassTargets
    table: Float[Array, "L 16"]


@cached_factory
def maxent(
    words: Words,
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
        a_w = h U_w + u_w + Σ_{n<order} value · T'[g_n(c) + place of w]    over the words of a class

    Both are normalised exactly. Over a cell without units it is the maximum entropy n-gram model. The features of n = 0
    are those of the unigram; a history goes on across the end of a sentence, as in Mikolov's toolkit (the end-of-line
    token is a word like any other), and before the first word of a text stands a word of its own.

    The gradient touches only windows that are read, and an update only the lines that they lie in, so it needs a rule
    that leaves the rest as it is to be quick: SGD or AdaGrad. Clipping takes the norm of the whole gradient, that of
    the table included, exactly.

    Args:
        words: of the vocabulary, with their training counts.
        order: N of the n-grams: features of up to N - 1 words before the target, 1 to 9.
        table_size: weights in the table, all 0 at first; the fewer, the more features share one.
        classes: C, ⌈√V⌉ unless given.
        value: of a feature that is present. Under SGD it sets the features' own learning rate, ``value²`` of the
            common one; under AdaGrad ``value`` of it.
        l2: each target adds ``l2 · T`` to the gradient of each weight that it reads, as ``l2/2 · T²`` in the loss
            would: under SGD, as in Mikolov's toolkit, a weight shrinks by ``η · l2`` whenever it is read.
        dtype: of matrix products.
        param_dtype: of parameters and logits.

    Raises:
        UserError: for an order, table, number of classes, value or l2 that cannot be.
    """
    binned = bin_by_frequency(words.counts, classes)
    whole = isinstance(table_size, float) and table_size.is_integer()  # 2e9 on the command line
    features = DirectFeatures(binned, order, int(table_size) if whole else table_size)  # pyright: ignore[reportArgumentType]
    if not 0 < value < math.inf:
        raise UserError(f"value must be a positive number, not {value}")
    if not 0 <= l2 < math.inf:
        raise UserError(f"l2 must be a number from 0 on, not {l2}")

    def init(key: Key, hidden_size: int, vocab_size: int) -> MaxEntParams:
        if vocab_size != binned.vocab_size:
            raise UserError(f"the counts are of {binned.vocab_size} words, and the vocabulary has {vocab_size}")
        softmax = init_class_softmax(binned, key, hidden_size, param_dtype) if hidden_size else None
        return MaxEntParams(softmax, jnp.zeros(features.shape, param_dtype))

    def pick(params: MaxEntParams, targets: WithPast, key: Key | None) -> tuple[ReadFeatures, Read]:
        del key  # nothing is drawn
        found = find_targets(binned, targets.own.reshape(-1))
        windows = features.windows(_rows(targets.words), found.classes)
        sums = ReadFeatures(
            softmax=params.softmax,
            of_classes=value * features.class_sums(params.table, windows.classes),
            of_words=value * features.word_sums(params.table, windows.words, found.classes),
            shrink=jnp.zeros(found.classes.shape, param_dtype),
        )
        return sums, Read(windows, found, params.table)

    def row_nats(sums: ReadFeatures, ids: Read, hs: WithPast, weights: Array | None) -> Float[Array, " N"]:
        classes_given, words_given = sums.of_classes, sums.of_words
        if sums.softmax is not None:
            rows, counted = _rows(hs.own), ids.targets.classes
            if weights is not None:
                counted = jnp.where(weights == 0, binned.count, counted)
            classes_given += class_logits(sums.softmax, rows, dtype)
            words_given += own_word_logits(binned, sums.softmax, rows, counted, dtype)
        return factorised_nats(binned, classes_given, words_given, ids.targets)

    def nats(params: MaxEntParams, hs: WithPast, targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        sums, ids = pick(params, WithPast(targets, hs.words), None)
        return row_nats(sums, ids, hs, None).reshape(targets.shape)

    def weighted(sums: ReadFeatures, ids: Read, hs: WithPast, weights: Float[Array, " N"]) -> Float[Array, ""]:
        return (weights * jnp.where(weights == 0, 0, row_nats(sums, ids, hs, weights))).sum()

    def total_nats(params: MaxEntParams, hs: WithPast, targets: Array, weights: Array) -> Float[Array, ""]:
        sums, ids = pick(params, WithPast(targets, hs.words), None)
        return weighted(sums, ids, hs, weights.astype(param_dtype).reshape(-1))

    def loss(sums: ReadFeatures, ids: Read, hs: WithPast, targets: Array, weights: Array) -> Float[Array, ""]:
        del targets  # which are known
        weights = weights.astype(param_dtype).reshape(-1)
        return weighted(sums, ids, hs, weights) + l2 * (weights * sums.shrink).sum()

    def scatter(gradient: ReadFeatures, ids: Read) -> Any:
        of_classes, of_words = value * gradient.of_classes, value * gradient.of_words
        of_rows = ids.targets.classes
        rows = features.gradient(ids.table, ids.windows, of_rows, of_classes, of_words, gradient.shrink)
        return MaxEntParams(gradient.softmax, rows)  # pyright: ignore[reportArgumentType]

    def log_probs(params: MaxEntParams, h: WithPast) -> Float[Array, "*B V"]:
        past = _rows(h.words)
        of_classes = value * features.class_sums(params.table, features.class_windows(features.keys(past)))
        of_words = value * features.all_word_sums(params.table, past)
        if params.softmax is not None:
            rows = _rows(h.own)
            of_classes += class_logits(params.softmax, rows, dtype)
            of_words += all_word_logits(params.softmax, rows, dtype)
        return factorised_log_probs(binned, of_classes, of_words).reshape(*h.words.shape[:-1], -1)

    def without_features(params: MaxEntParams) -> MaxEntParams:
        return params._replace(table=jnp.zeros_like(params.table))

    return OutputLayer(
        kind="maxent",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        by_row=LossByRow(pick, loss, scatter),
        past=max(order - 1, 1),
        start=without_features,
    )


def _rows(values: Array) -> Array:
    """All axes but the last made one."""
    return values.reshape(-1, values.shape[-1])
