"""Sentences grouped by padded length, and the order in which an epoch takes them: what batches of sentences share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnlm_jax.errors import DataError

DEFAULT_BOUNDARIES = (8, 16, 24, 32, 48, 64, 96, 128)
"""Padded sentence lengths in tokens: few enough that `jit` compiles few shapes, close enough that little is padding."""


class LengthBuckets:
    """The lines of a text by the shortest boundary that holds them; one beyond the last goes to a power of two.

    Args:
        line_ends: int64 `[L]`, the exclusive end offset of each line among the tokens.
        boundaries: the padded lengths, in tokens; `None`: `DEFAULT_BOUNDARIES`.

    Raises:
        DataError: a boundary that is not positive, or a text without tokens.
    """

    def __init__(self, line_ends: np.ndarray, boundaries: Sequence[int] | None = None) -> None:
        """Sort the lines; what is kept is at most four bytes a line, for fewer than 2^32 of them."""
        edges = sorted(set(DEFAULT_BOUNDARIES if boundaries is None else boundaries))
        if not edges or edges[0] <= 0:
            raise DataError(f"boundaries {list(edges)} are no sentence lengths: give positive numbers")
        lengths = np.diff(line_ends, prepend=0)
        longest = int(lengths.max(initial=0))
        if longest == 0:
            raise DataError("there are no tokens to make batches of: give a text that is not empty")
        if longest > edges[-1]:
            power = 1 << edges[-1].bit_length()  # the first power of two beyond the last boundary
            while edges[-1] < longest:
                edges.append(power)
                power *= 2
        slots = np.searchsorted(np.array(edges), lengths).astype(np.int16)
        kind = np.min_scalar_type(lengths.size)
        members = {edge: np.flatnonzero((slots == k) & (lengths > 0)).astype(kind) for k, edge in enumerate(edges)}
        self._members = {edge: rows for edge, rows in members.items() if rows.size}

    def count(self, batch_size: int) -> int:
        """Return the number of batches an epoch, the same for each."""
        return sum(-(-rows.size // batch_size) for rows in self._members.values())

    def order(self, seed: int, epoch: int, batch_size: int) -> EpochOrder:
        """Return the batches of an epoch, a function of `(seed, epoch)`: lines shuffled, and batches too."""
        rng = np.random.default_rng([seed, epoch])
        shuffled = {edge: rng.permutation(rows) for edge, rows in self._members.items()}
        return EpochOrder(shuffled, batch_size, rng.permutation(self.count(batch_size)))


class EpochOrder:
    """Which lines make which batch of an epoch."""

    def __init__(self, shuffled: dict[int, np.ndarray], batch_size: int, order: np.ndarray) -> None:
        """Take the lines of each length in order, and the order of batches among them all."""
        self._edges, self._rows = list(shuffled), list(shuffled.values())
        self._batch_size, self._order = batch_size, order
        self._firsts = np.cumsum([0] + [-(-rows.size // batch_size) for rows in self._rows])

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._order.size

    def __getitem__(self, i: int) -> tuple[int, np.ndarray]:
        """Return batch `i`: its padded length and its lines, at most a batch of them."""
        number = int(self._order[i])
        bucket = int(np.searchsorted(self._firsts, number, side="right")) - 1
        start = (number - int(self._firsts[bucket])) * self._batch_size
        return self._edges[bucket], self._rows[bucket][start : start + self._batch_size]


def pad_sentences(lines: Sequence[np.ndarray], width: int, length: int, first_input: int) -> tuple[np.ndarray, ...]:
    """Return sentences as rows padded to `length` tokens, and turned: inputs, targets and mask, `[length, width]`.

    Args:
        lines: the tokens of each sentence, int32 `[n]`; those that are missing of `width` are masked.
        width: rows to lay out.
        length: of each, at least that of the longest sentence.
        first_input: the input before each sentence.
    """
    targets = np.zeros((width, length), np.int32)
    mask = np.zeros((width, length), bool)
    for b, line in enumerate(lines):
        targets[b, : line.size] = line
        mask[b, : line.size] = True
    inputs = np.empty_like(targets)
    inputs[:, 0] = first_input
    inputs[:, 1:] = targets[:, :-1]
    return tuple(np.ascontiguousarray(rows.T) for rows in (inputs, targets, mask))
