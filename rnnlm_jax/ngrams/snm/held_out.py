"""Blocks of held-out tokens for training the adjustment, with counts that exclude them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnlm_jax.ngrams.snm.feature_counts import FeatureCounts
from rnnlm_jax.ngrams.snm.feature_table import concatenate_ranges
from rnnlm_jax.ngrams.snm.meta_features import Signatures, count_bucket, pack_fields
from rnnlm_jax.ngrams.unique_keys import unique_keys


class HeldOutBlock(NamedTuple):
    """A block of n tokens with the features of their histories and all entries in the rows of these features.

    Entries of a row with equal signatures are merged to their sum, since their adjustments are equal.

    Attributes:
        tokens: number of tokens n.
        rows: number of features R.
        signatures: the S distinct signatures.
        entry_rows: int32 ``[E]``, row of each entry.
        entry_signatures: int32 ``[E]``, signature of each entry.
        entry_values: float64 ``[E]``, ``C(f, w) / C(f)``.
        matched_tokens: int32 ``[M]``, token of each match of a token and a feature of its history.
        matched_rows: int32 ``[M]``, row of that feature.
        target_tokens: int32 ``[Z]``, token of each match whose feature and token are an entry.
        target_signatures: int32 ``[Z]``, signature of that entry.
        target_values: float64 ``[Z]``, ``C(f, w) / C(f)`` of that entry.
    """

    tokens: int
    rows: int
    signatures: Signatures
    entry_rows: np.ndarray
    entry_signatures: np.ndarray
    entry_values: np.ndarray
    matched_tokens: np.ndarray
    matched_rows: np.ndarray
    target_tokens: np.ndarray
    target_signatures: np.ndarray
    target_values: np.ndarray


class Pairs(NamedTuple):
    """Counts of the entries of some rows of the matrix.

    Attributes:
        counts: int64 ``[E]``, ``C(f, w)``.
        extensions: int64 ``[E]``, ``N1+(· f w)``.
        totals: int64 ``[R]``, ``C(f)``.
        rows: int64 ``[R]``, the rows.
        words: int32 ``[E]``, word of each entry.
        row_index: int64 ``[E]``, index among `rows` of each entry's row.
        word_counts: int64 ``[V]``, ``C(w)``.
    """

    counts: np.ndarray
    extensions: np.ndarray
    totals: np.ndarray
    rows: np.ndarray
    words: np.ndarray
    row_index: np.ndarray
    word_counts: np.ndarray

    def fields(self, row_types: np.ndarray) -> np.ndarray:
        """Return the packed fields of each entry's signature, int64 ``[E]``."""
        followers = np.bincount(self.row_index[self.counts > 0], minlength=self.rows.size)
        of_row = pack_fields(
            type=row_types[self.rows], total=count_bucket(self.totals), followers=count_bucket(followers)
        )
        of_word = pack_fields(word_count=count_bucket(self.word_counts))
        of_pair = pack_fields(count=count_bucket(self.counts), extensions=count_bucket(self.extensions))
        return of_row[self.row_index] | of_word[self.words] | of_pair

    def values(self) -> np.ndarray:
        """Return ``C(f, w) / C(f)`` of each entry, float64 ``[E]``."""
        return self.counts / np.maximum(self.totals, 1)[self.row_index]


def held_out_block(
    counts: FeatureCounts, tokens: np.ndarray, begin: int, *, end: int, subtract: bool, lexical: bool
) -> HeldOutBlock:
    """Return the block of tokens ``begin`` to ``end - 1`` of a text.

    Args:
        counts: counts of the training text.
        tokens: text of the block.
        begin: first token.
        end: exclusive end.
        subtract: whether the text is the training text, so that the counts of the block must be subtracted.
        lexical: whether to keep the identities of words and features.
    """
    table = counts.table
    matches = table.match(tokens, begin, end)
    matched = unique_keys(matches.rows)
    rows, matched_rows = matched.values, matched.inverse
    entries, pairs = pairs_of_rows(counts, rows)
    if subtract:
        word_counts = counts.word_counts - np.bincount(tokens[begin:end], minlength=counts.word_counts.size)
        pairs = _subtract_block(pairs, entries, matches.entries, matched_rows=matched_rows, shorter=counts.shorter)
        pairs = pairs._replace(word_counts=word_counts)
    left = np.flatnonzero(pairs.counts)
    fields, values = pairs.fields(table.row_types)[left], pairs.values()[left]
    present = matches.entries >= 0
    targets = np.searchsorted(entries, matches.entries[present])
    kept = pairs.counts[targets] > 0
    targets = np.searchsorted(left, targets[kept])
    matched_tokens = (matches.positions - begin).astype(np.int32)
    if lexical:
        signatures = Signatures(fields, pairs.words[left], rows[pairs.row_index[left]])
        entry_rows, entry_signatures, entry_values = pairs.row_index[left], np.arange(left.size), values
        target_signatures = targets
    else:
        packed = unique_keys(fields)
        signatures = Signatures(packed.values, np.zeros(0, np.int32), np.zeros(0, np.int64))
        merged = unique_keys(pairs.row_index[left] * packed.values.size + packed.inverse)
        entry_rows, entry_signatures = np.divmod(merged.values, max(packed.values.size, 1))
        entry_values = np.bincount(merged.inverse, values, merged.values.size)
        target_signatures = packed.inverse[targets]
    return HeldOutBlock(
        end - begin,
        rows.size,
        signatures,
        entry_rows.astype(np.int32),
        entry_signatures.astype(np.int32),
        entry_values,
        matched_tokens,
        matched_rows.astype(np.int32),
        matched_tokens[present][kept],
        target_signatures.astype(np.int32),
        values[targets],
    )


def pairs_of_rows(counts: FeatureCounts, rows: np.ndarray) -> tuple[np.ndarray, Pairs]:
    """Return the entries of some rows, int64 ``[E]``, and their counts in the training text."""
    table = counts.table
    entries, row_index = concatenate_ranges(table.starts[rows], table.starts[rows + 1])
    return entries, Pairs(
        counts.counts[entries].astype(np.int64),
        counts.extensions[entries].astype(np.int64),
        counts.totals[rows],
        rows,
        table.words[entries],
        row_index,
        counts.word_counts,
    )


def _subtract_block(
    pairs: Pairs, entries: np.ndarray, matched_entries: np.ndarray, *, matched_rows: np.ndarray, shorter: np.ndarray
) -> Pairs:
    """Return counts without those of the block itself, all of whose pairs are among the entries."""
    block = unique_keys(matched_entries)
    index = np.searchsorted(entries, block.values)
    counts, extensions = pairs.counts.copy(), pairs.extensions.copy()
    counts[index] -= block.counts
    # An n-gram that occurs only in the block no longer extends its suffix, which the block has too.
    suffixes = shorter[block.values[counts[index] == 0]]
    np.subtract.at(extensions, np.searchsorted(entries, suffixes[suffixes >= 0]), 1)
    totals = pairs.totals - np.bincount(matched_rows, minlength=pairs.totals.size)
    return pairs._replace(counts=counts, extensions=extensions, totals=totals)
