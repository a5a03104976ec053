"""Train a sparse non-negative matrix model: count features, train the adjustment, and form the matrix."""

from __future__ import annotations

from functools import partial

import numpy as np

from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.ngrams.snm.adjustment import Adjustment, train_adjustment
from rnnlm_jax.ngrams.snm.feature_counts import FeatureCounts, count_features
from rnnlm_jax.ngrams.snm.held_out import held_out_block, pairs_of_rows
from rnnlm_jax.ngrams.snm.history_features import FeatureType, ngram_types
from rnnlm_jax.ngrams.snm.meta_features import MetaFeatures, Signatures
from rnnlm_jax.ngrams.snm.snm_model import SnmModel
from rnnlm_jax.ngrams.unique_keys import unique_keys

#: Number of entries of the matrix adjusted at a time.
CHUNK = 2**20


def train(
    text: EncodedText,
    vocabulary: Vocabulary,
    types: tuple[FeatureType, ...] | None = None,
    *,
    adjustment: Adjustment = Adjustment(),  # noqa: B008, it is frozen
    held_out: EncodedText | None = None,
    progress: Progress = no_progress,
) -> SnmModel:
    """Estimate a sparse non-negative matrix model (Shazeer et al. 2015; Chelba & Pereira 2015).

        P(w | h) ∝ u / V + Σ_{f ∈ F(h)} e^{A(f,w)} C(f, w) / C(f),    A a sum of weights of hashed meta-features.

    The counts are those of the whole training text. The adjustment is trained on text that is not counted: a given
    held-out text, or blocks of the training text, each with the counts of the rest. The papers leave out one token at a
    time; leaving out a block also excludes the repetitions within an article.

    Args:
        text: training text, encoded by ``vocabulary``.
        vocabulary: the V words.
        types: types of features; None: n-grams up to order 5.
        adjustment: options of training the adjustment.
        held_out: text to train the adjustment on; None: blocks of the training text.
        progress: called with a number of tokens after each counted type and each update; see ``progress_total``.

    Raises:
        ArgumentError: ``types`` is empty, too long or has a repeated type.
        DataError: a text has no tokens.
    """
    if len(text) == 0 or (held_out is not None and len(held_out) == 0):
        raise DataError("the text has no tokens to count features of: give one that is not empty")
    types = ngram_types(5) if types is None else types
    if not types:
        raise ArgumentError("a sparse non-negative matrix needs features: give at least one of `types`")
    if len(types) > 64:
        raise ArgumentError(f"a sparse non-negative matrix has at most 64 types of features, not {len(types)}")
    if len(set(types)) != len(types):
        raise ArgumentError("a type of feature is given twice: give each of `types` once")
    counts = count_features(text.tokens, vocabulary, types, progress=progress)
    tokens = text.tokens if held_out is None else held_out.tokens
    blocks = [
        partial(held_out_block, counts, tokens, begin, end=end, subtract=held_out is None, lexical=adjustment.lexical)
        for begin, end in block_bounds(tokens.size, adjustment)
    ]
    weights, nats = train_adjustment(adjustment, blocks, vocab_size=vocabulary.size, progress=progress)
    values = adjusted_values(counts, adjustment.meta_features, weights)
    source = _source(text, types, held_out, adjustment=adjustment, nats=nats)
    return SnmModel(counts.table, values, float(np.exp(weights[-1])), source)


def progress_total(
    text: EncodedText,
    types: tuple[FeatureType, ...],
    *,
    adjustment: Adjustment = Adjustment(),  # noqa: B008
    held_out: EncodedText | None = None,
) -> int:
    """Return the sum of all numbers that ``train`` calls its ``progress`` with."""
    tokens = len(text) if held_out is None else len(held_out)
    block_tokens = sum(end - begin for begin, end in block_bounds(tokens, adjustment))
    return len(types) * len(text) + adjustment.epochs * block_tokens


def block_bounds(tokens: int, adjustment: Adjustment) -> list[tuple[int, int]]:
    """Return the bounds of blocks of equal size: at least ten, unless the text has fewer tokens."""
    size = max(min(adjustment.block_size, tokens // 10), 1)
    number = -(-tokens // size)
    bounds = np.linspace(0, tokens, number + 1).astype(np.int64).tolist()
    chosen = np.unique(np.linspace(0, number - 1, min(number, adjustment.max_blocks)).round().astype(np.int64)).tolist()
    return [(bounds[k], bounds[k + 1]) for k in chosen]


def adjusted_values(counts: FeatureCounts, meta: MetaFeatures, weights: np.ndarray) -> np.ndarray:
    """Return ``M = e^{A(f,w)} C(f, w) / C(f)`` of every entry, float32 ``[E]``."""
    starts = counts.table.starts
    values = np.empty(counts.counts.size, np.float32)
    first = 0
    while first < starts.size - 1:
        stop = max(int(np.searchsorted(starts, starts[first] + CHUNK, side="right")) - 1, first + 1)
        entries, pairs = pairs_of_rows(counts, np.arange(first, stop))
        fields = pairs.fields(counts.table.row_types)
        if meta.lexical:
            signatures = Signatures(fields, pairs.words, pairs.rows[pairs.row_index])
            numbers = np.arange(fields.size)
        else:
            unique = unique_keys(fields)
            fields, numbers = unique.values, unique.inverse
            signatures = Signatures(fields, np.zeros(0, np.int32), np.zeros(0, np.int64))
        adjustments = sum((weights[row] for row in meta.weight_indices(signatures)), np.zeros(fields.size))
        values[entries] = pairs.values() * np.exp(adjustments)[numbers]
        first = stop
    return values


def _source(
    text: EncodedText,
    types: tuple[FeatureType, ...],
    held_out: EncodedText | None,
    *,
    adjustment: Adjustment,
    nats: float,
) -> str:
    """Return how the model was estimated, in one line."""
    longest = max((t.adjacent + 1 for t in types if not t.remote), default=1)
    skips = " with skip-grams" if any(t.remote for t in types) else ""
    name = f"sparse non-negative matrix {longest}-gram{skips} of {len(text):,} tokens"
    if adjustment.epochs == 0:
        return f"{name}; not adjusted"
    kind = "lexical meta-features" if adjustment.lexical else "meta-features of counts"
    trained_on = "held-out blocks of them" if held_out is None else f"{len(held_out):,} others"
    return f"{name}; adjusted by {kind}, {adjustment.epochs} epochs over {trained_on}, {nats:.4f} nats a token there"
