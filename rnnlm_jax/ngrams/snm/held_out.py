"""Tokens for the adjustment to learn from, with counts of a text that they are no part of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnlm_jax.ngrams.snm.feature_counts import FeatureCounts, distinct
from rnnlm_jax.ngrams.snm.feature_table import concatenate_ranges
from rnnlm_jax.ngrams.snm.meta_features import Signatures, count_bucket, pack_fields


class HeldOutBlock(NamedTuple):
    """A stretch of n tokens: the features that they meet, and what is known of every pair in these features' rows.

    Entries of one row with one signature are one, their sum, since their adjustments are alike.

    Attributes:
        tokens: n.
        rows: R, how many features are met.
        signatures: S of them.
        entry_rows: int32 ``[E]``.
        entry_signatures: int32 ``[E]``.
        entry_values: float64 ``[E]``, ``C(f, w) / C(f)``.
        met_tokens: int32 ``[M]``, which token a feature was met by,
        met_rows: int32 ``[M]``, and which feature.
        target_tokens: int32 ``[Z]``, the tokens that a feature of their history was seen before,
        target_signatures: int32 ``[Z]``, the signature of the feature and the token,
        target_values: float64 ``[Z]``, and ``C(f, w) / C(f)``.
    """

    tokens: int
    rows: int
    signatures: Signatures
    entry_rows: np.ndarray
    entry_signatures: np.ndarray
    entry_values: np.ndarray
    met_tokens: np.ndarray
    met_rows: np.ndarray
    target_tokens: np.ndarray
    target_signatures: np.ndarray
    target_values: np.ndarray


class Pairs(NamedTuple):
    """What is counted of some entries of the matrix, row by row.

    Attributes:
        counts: int64 ``[E]``, ``C(f, w)``.
        extensions: int64 ``[E]``, ``N1+(· f w)``.
        totals: int64 ``[R]``, ``C(f)``.
        rows: int64 ``[R]``, the rows.
        words: int32 ``[E]``, the words.
        of: int64 ``[E]``, which of the rows.
        word_counts: int64 ``[V]``, ``C(w)``.
    """

    counts: np.ndarray
    extensions: np.ndarray
    totals: np.ndarray
    rows: np.ndarray
    words: np.ndarray
    of: np.ndarray
    word_counts: np.ndarray

    def fields(self, row_types: np.ndarray) -> np.ndarray:
        """The signature's counts of each entry, packed, int64 ``[E]``."""
        followers = np.bincount(self.of[self.counts > 0], minlength=self.rows.size)
        of_row = pack_fields(
            type=row_types[self.rows], total=count_bucket(self.totals), followers=count_bucket(followers)
        )
        of_word = pack_fields(word_count=count_bucket(self.word_counts))
        of_pair = pack_fields(count=count_bucket(self.counts), extensions=count_bucket(self.extensions))
        return of_row[self.of] | of_word[self.words] | of_pair

    def values(self) -> np.ndarray:
        """``C(f, w) / C(f)`` of each entry, float64 ``[E]``."""
        return self.counts / np.maximum(self.totals, 1)[self.of]


def held_out_block(
    counts: FeatureCounts, tokens: np.ndarray, begin: int, end: int, subtract: bool, lexical: bool
) -> HeldOutBlock:
    """The tokens from ``begin`` to ``end`` of a text, held out.

    Args:
        counts: of the training text.
        tokens: the text that the block is of.
        begin: its first token.
        end: the one after its last.
        subtract: the text is the training text, and what the block counts in it is to be taken off again.
        lexical: keep the identities of words and features.
    """
    table = counts.table
    met = table.match(tokens, begin, end)
    rows, _, met_rows = distinct(met.rows)
    entries, pairs = pairs_of_rows(counts, rows)
    if subtract:
        word_counts = counts.word_counts - np.bincount(tokens[begin:end], minlength=counts.word_counts.size)
        pairs = _without(pairs, entries, met.entries, met_rows, counts.shorter)._replace(word_counts=word_counts)
    left = np.flatnonzero(pairs.counts)
    fields, values = pairs.fields(table.row_types)[left], pairs.values()[left]
    both = met.entries >= 0
    targets = np.searchsorted(entries, met.entries[both])
    kept = pairs.counts[targets] > 0
    targets = np.searchsorted(left, targets[kept])
    met_tokens = (met.places - begin).astype(np.int32)
    if lexical:
        signatures = Signatures(fields, pairs.words[left], rows[pairs.of[left]])
        entry_rows, entry_signatures, entry_values = pairs.of[left], np.arange(left.size), values
        target_signatures = targets
    else:
        packed, _, numbers = distinct(fields)
        signatures = Signatures(packed, np.zeros(0, np.int32), np.zeros(0, np.int64))
        merged, _, places = distinct(pairs.of[left] * packed.size + numbers)
        entry_rows, entry_signatures = merged // max(packed.size, 1), merged % max(packed.size, 1)
        entry_values = np.bincount(places, values, merged.size)
        target_signatures = numbers[targets]
    return HeldOutBlock(
        end - begin,
        rows.size,
        signatures,
        entry_rows.astype(np.int32),
        entry_signatures.astype(np.int32),
        entry_values,
        met_tokens,
        met_rows.astype(np.int32),
        met_tokens[both][kept],
        target_signatures.astype(np.int32),
        values[targets],
    )


def pairs_of_rows(counts: FeatureCounts, rows: np.ndarray) -> tuple[np.ndarray, Pairs]:
    """The entries of some rows, int64 ``[E]``, and what the training text says of them."""
    table = counts.table
    entries, of = concatenate_ranges(table.starts[rows], table.starts[rows + 1])
    return entries, Pairs(
        counts.counts[entries].astype(np.int64),
        counts.extensions[entries].astype(np.int64),
        counts.totals[rows],
        rows,
        table.words[entries],
        of,
        counts.word_counts,
    )


def _without(
    pairs: Pairs, entries: np.ndarray, met_entries: np.ndarray, met_rows: np.ndarray, shorter: np.ndarray
) -> Pairs:
    """The counts without those of the block itself, all of whose pairs are among the entries."""
    mine, times, _ = distinct(met_entries)
    at = np.searchsorted(entries, mine)
    counts, extensions = pairs.counts.copy(), pairs.extensions.copy()
    counts[at] -= times
    # An n-gram that is only in the block no longer extends its suffix, which the block holds as well.
    suffixes = shorter[mine[counts[at] == 0]]
    np.subtract.at(extensions, np.searchsorted(entries, suffixes[suffixes >= 0]), 1)
    totals = pairs.totals - np.bincount(met_rows, minlength=pairs.totals.size)
    return pairs._replace(counts=counts, extensions=extensions, totals=totals)
