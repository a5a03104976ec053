"""Sentences grouped by padded length, the order of their batches in an epoch, and padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnlm_jax.errors import ArgumentError, DataError

DEFAULT_BOUNDARIES = (8, 16, 24, 32, 48, 64, 96, 128)
"""Padded sentence lengths in tokens: few, so that `jit` compiles few shapes, and close, so that little is padding."""


class LengthBuckets:
    """Lines of a text grouped by padded length: the shortest boundary that fits, beyond the last a power of two.

    Args:
        line_ends: int64 `[L]`, exclusive end offset of each line among the tokens.
        boundaries: padded lengths, in tokens; `None`: `DEFAULT_BOUNDARIES`.

    Raises:
        ArgumentError: `boundaries` is empty or has one that is not positive.
        DataError: the text has no tokens.
    """

    def __init__(self, line_ends: np.ndarray, boundaries: Sequence[int] | None = None) -> None:
        """Group the lines; takes at most four bytes a line, up to 2^32 lines."""
        edges = sorted(set(DEFAULT_BOUNDARIES if boundaries is None else boundaries))
        if not edges or edges[0] <= 0:
            raise ArgumentError(f"`boundaries` must be positive sentence lengths, not {list(edges)}")
        lengths = np.diff(line_ends, prepend=0)
        longest = int(lengths.max(initial=0))
        if longest == 0:
            raise DataError("the text has no tokens to make batches of: give one that is not empty")
        if longest > edges[-1]:
            power = 1 << edges[-1].bit_length()  # the first power of two beyond the last boundary
            while edges[-1] < longest:
                edges.append(power)
                power *= 2
        slots = np.searchsorted(np.array(edges), lengths).astype(np.int16)
        kind = np.min_scalar_type(lengths.size)
        members = {edge: np.flatnonzero((slots == k) & (lengths > 0)).astype(kind) for k, edge in enumerate(edges)}
        self._members = {edge: rows for edge, rows in members.items() if rows.size}

    def batch_count(self, batch_size: int) -> int:
        """Return the number of batches in an epoch, the same for each."""
        return sum(-(-rows.size // batch_size) for rows in self._members.values())

    def order(self, seed: int, epoch: int, batch_size: int) -> EpochOrder:
        """Return the order of an epoch, a function of `(seed, epoch)`: lines and batches are both shuffled."""
        rng = np.random.default_rng([seed, epoch])
        shuffled = {edge: rng.permutation(rows) for edge, rows in self._members.items()}
        return EpochOrder(shuffled, batch_size, rng.permutation(self.batch_count(batch_size)))


class EpochOrder:
    """The lines of each batch of one epoch."""

    def __init__(self, shuffled: dict[int, np.ndarray], batch_size: int, order: np.ndarray) -> None:
        """Keep the shuffled lines by padded length, and the order of all batches."""
        self._edges, self._rows = list(shuffled), list(shuffled.values())
        self._batch_size, self._order = batch_size, order
        self._firsts = np.cumsum([0] + [-(-rows.size // batch_size) for rows in self._rows])

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._order.size

    def __getitem__(self, i: int) -> tuple[int, np.ndarray]:
        """Return the padded length and the line numbers of batch `i`, at most `batch_size` of them."""
        number = int(self._order[i])
        bucket = int(np.searchsorted(self._firsts, number, side="right")) - 1
        start = (number - int(self._firsts[bucket])) * self._batch_size
        return self._edges[bucket], self._rows[bucket][start : start + self._batch_size]


def pad_sentences(
    lines: Sequence[np.ndarray], width: int, length: int, *, first_input: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, targets and mask of sentences padded to `length` tokens, each `[length, width]`.

    Args:
        lines: tokens of each sentence, int32 `[n]`, at most `width` of them; the columns left over are masked.
        width: number of columns.
        length: number of steps, at least that of the longest sentence.
        first_input: input before each sentence.
    """
    targets = np.zeros((width, length), np.int32)
    mask = np.zeros((width, length), bool)
    for b, line in enumerate(lines):
        targets[b, : line.size] = line
        mask[b, : line.size] = True
    inputs = np.empty_like(targets)
    inputs[:, 0] = first_input
    inputs[:, 1:] = targets[:, :-1]
    return np.ascontiguousarray(inputs.T), np.ascontiguousarray(targets.T), np.ascontiguousarray(mask.T)
