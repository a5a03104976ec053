"""Training a sparse non-negative matrix model: counts, the adjustment, and the matrix of both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.snm.adjustment import Adjustment, train_adjustment
from rnnlm_jax.ngrams.snm.feature_counts import FeatureCounts, distinct
from rnnlm_jax.ngrams.snm.held_out import held_out_block, pairs_of_rows
from rnnlm_jax.ngrams.snm.history_features import FeatureType, ngram_types
from rnnlm_jax.ngrams.snm.meta_features import MetaFeatures, Signatures
from rnnlm_jax.ngrams.snm.snm_model import SnmModel

#: Entries of the matrix that are adjusted at a time.
CHUNK = 2**20


def train(
    text: EncodedText,
    vocabulary: Vocabulary,
    types: tuple[FeatureType, ...] | None = None,
    adjustment: Adjustment = Adjustment(),  # noqa: B008, it is frozen
    held_out: EncodedText | None = None,
    progress: Callable[[int], object] = lambda tokens: None,
) -> SnmModel:
    """Estimate a sparse non-negative matrix model (Shazeer et al. 2015; Chelba & Pereira 2015).

        P(w | h) ∝ u / V + Σ_{f ∈ F(h)} e^{A(f,w)} C(f, w) / C(f),    A a sum of weights of hashed meta-features.

    The counts are of the whole training text. The adjustment learns from a text that the counts do not know: one
    that is given, or block after block of the training text itself, each with the counts of all the rest. The papers
    leave out one token at a time; a block also leaves out what an article says again and again.

    Args:
        text: the training text, encoded by ``vocabulary``.
        vocabulary: V words.
        types: of features; None: n-grams up to order 5.
        adjustment: how it is trained.
        held_out: what the adjustment learns from; None: the training text, block by block.
        progress: told the number of tokens each time that a type is counted or a block is learnt from.

    Raises:
        DataError: for a text without tokens, or no types.
    """
    if len(text) == 0 or (held_out is not None and len(held_out) == 0):
        raise DataError("there are no tokens to count features of: give a text that is not empty")
    types = ngram_types(5) if types is None else types
    if not types:
        raise DataError("a sparse non-negative matrix needs features: give one type at least")
    if len(types) > 64:
        raise DataError(f"a sparse non-negative matrix has at most 64 types of features, not {len(types)}: give fewer")
    if len(set(types)) != len(types):
        raise DataError("some type of feature is given twice: give each once")
    counts = count_features(text.tokens, vocabulary, types, progress)
    learnt = text.tokens if held_out is None else held_out.tokens
    blocks = [
        partial(held_out_block, counts, learnt, begin, end, held_out is None, adjustment.lexical)
        for begin, end in block_bounds(learnt.size, adjustment)
    ]
    weights, nats = train_adjustment(adjustment, blocks, vocabulary.size, progress)
    values = adjusted_values(counts, adjustment.meta_features, weights)
    source = _source(text, types, held_out, adjustment, nats)
    return SnmModel(counts.table, values, float(np.exp(weights[-1])), source)


def progress_total(
    text: EncodedText,
    types: tuple[FeatureType, ...],
    adjustment: Adjustment = Adjustment(),  # noqa: B008
    held_out: EncodedText | None = None,
) -> int:
    """The number of tokens that ``progress`` of ``train`` is told of in all."""
    learnt = len(text) if held_out is None else len(held_out)
    block_tokens = sum(end - begin for begin, end in block_bounds(learnt, adjustment))
    return len(types) * len(text) + adjustment.epochs * block_tokens


def block_bounds(tokens: int, adjustment: Adjustment) -> list[tuple[int, int]]:
    """Where each block begins and ends: blocks of equal size, ten or more where the text has so many tokens."""
    size = max(min(adjustment.block, tokens // 10), 1)
    number = -(-tokens // size)
    borders = np.linspace(0, tokens, number + 1).astype(np.int64).tolist()
    chosen = np.unique(np.linspace(0, number - 1, min(number, adjustment.blocks)).round().astype(np.int64)).tolist()
    return [(borders[k], borders[k + 1]) for k in chosen]


def adjusted_values(counts: FeatureCounts, meta: MetaFeatures, weights: np.ndarray) -> np.ndarray:
    """``M = e^{A(f,w)} C(f, w) / C(f)`` of every entry, float32 ``[E]``."""
    starts = counts.table.starts
    values = np.empty(counts.counts.size, np.float32)
    first = 0
    while first < starts.size - 1:
        stop = max(int(np.searchsorted(starts, starts[first] + CHUNK, side="right")) - 1, first + 1)
        entries, pairs = pairs_of_rows(counts, np.arange(first, stop))
        fields = pairs.fields(counts.table.row_types)
        if meta.lexical:
            signatures, numbers = Signatures(fields, pairs.words, pairs.rows[pairs.of]), np.arange(fields.size)
        else:
            fields, _, numbers = distinct(fields)
            signatures = Signatures(fields, np.zeros(0, np.int32), np.zeros(0, np.int64))
        adjustments = sum((weights[row] for row in meta.places(signatures)), np.zeros(fields.size))
        values[entries] = pairs.values() * np.exp(adjustments)[numbers]
        first = stop
    return values


def _source(
    text: EncodedText,
    types: tuple[FeatureType, ...],
    held_out: EncodedText | None,
    adjustment: Adjustment,
    nats: float,
) -> str:
    """How the model was estimated, in one line."""
    longest = max((t.adjacent + 1 for t in types if not t.remote), default=1)
    skips = " with skip-grams" if any(t.remote for t in types) else ""
    name = f"sparse non-negative matrix {longest}-gram{skips} of {len(text):,} tokens"
    if adjustment.epochs == 0:
        return f"{name}; not adjusted"
    kind = "lexical meta-features" if adjustment.lexical else "meta-features of counts"
    learnt = "held-out blocks of them" if held_out is None else f"{len(held_out):,} others"
    return f"{name}; adjusted by {kind}, {adjustment.epochs} epochs over {learnt}, {nats:.4f} nats a token there"
