"""Vectorised lookup of words: a hash table in NumPy arrays whose keys are compared byte by byte."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

PADDING = 8
"""Number of bytes that must follow the last word of a buffer, since words are read eight bytes at a time."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads keys over the high bits (Knuth, vol. 3, 6.4)
#: Masks of the low k of eight bytes.
_LOW = np.array([(1 << (8 * k)) - 1 for k in range(9)], np.uint64)


def word_bounds(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of the words of a text, split at ASCII white space as in `split_words`.

    Args:
        data: uint8 `[N]`, UTF-8.

    Returns:
        The start and the exclusive end of each word, two int64 arrays `[n]`.
    """
    space = np.ones(data.size + 2, bool)
    space[1:-1] = (data == 0x20) | ((data - np.uint8(9)) <= 4)  # the latter are \t \n \v \f \r
    edges = np.flatnonzero(space[1:] != space[:-1])
    return edges[::2], edges[1::2]


class WordTable:
    """Distinct words with ids in order of insertion; open addressing with linear probing.

    Args:
        words: first words, with ids from 0.
    """

    def __init__(self, words: Iterable[bytes] = ()) -> None:
        """Insert the first words."""
        self.size = 0
        self._bytes, self._used = np.zeros(2**10, np.uint8), 0
        self._starts, self._lengths = np.zeros(2**8, np.int64), np.zeros(2**8, np.int64)
        self._hashes, self._heads = np.zeros(2**8, np.uint64), np.zeros(2**8, np.uint64)
        self._slots = np.full(2**9, -1, np.int32)
        self.add(list(words))

    def add(self, words: list[bytes]) -> None:
        """Insert words, all of them new and distinct."""
        if not words:
            return
        added = np.fromiter(map(len, words), np.int64, len(words))
        used, size = self._used + int(added.sum()), self.size + len(words)
        self._bytes = _grown(self._bytes, used + PADDING)
        self._bytes[self._used : used] = np.frombuffer(b"".join(words), np.uint8)
        self._starts, self._lengths = _grown(self._starts, size), _grown(self._lengths, size)
        self._hashes, self._heads = _grown(self._hashes, size), _grown(self._heads, size)
        new = slice(self.size, size)
        self._lengths[new] = added
        self._starts[new] = self._used + np.cumsum(added) - added
        self._heads[new] = _read_eight(self._bytes, self._starts[new], added)
        self._hashes[new] = _hashes(self._bytes, self._starts[new], added, self._heads[new])
        first, self.size, self._used = self.size, size, used
        if 2 * size > self._slots.size:
            self._slots = np.full(4 << size.bit_length(), -1, np.int32)
            first = 0
        self._insert(np.arange(first, size, dtype=np.int32))

    def find(self, buffer: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """Return the id of each word, int32 `[n]`; -1 if the table does not have it.

        Args:
            buffer: uint8, with at least `PADDING` bytes after the last word.
            starts: offset of each word, int64 `[n]`.
            stops: exclusive end of each word, int64 `[n]`.
        """
        lengths = stops - starts
        heads = _read_eight(buffer, starts, lengths)
        found = np.full(starts.size, -1, np.int32)
        left, slots = np.arange(starts.size), self._first_slots(_hashes(buffer, starts, lengths, heads))
        while left.size:
            candidates = self._slots[slots]
            free = candidates < 0
            same = (self._heads[candidates] == heads) & (self._lengths[candidates] == lengths) & ~free
            long = np.flatnonzero(same & (lengths > 8))  # a shorter word is equal if its head is
            if long.size:
                same[long] = self._equal(buffer, starts[left[long]], lengths[long], candidates[long])
            found[left[same]] = candidates[same]
            probing = ~(same | free)
            left, slots = left[probing], (slots[probing] + 1) & (self._slots.size - 1)
            heads, lengths = heads[probing], lengths[probing]
        return found

    def words(self) -> list[str]:
        """Return the words in the order of their ids."""
        data, bounds = self._bytes.tobytes(), zip(self._starts.tolist(), self._lengths.tolist(), strict=True)
        pairs = (next(bounds) for _ in range(self.size))
        return [data[start : start + length].decode("utf-8", "surrogatepass") for start, length in pairs]

    def _first_slots(self, hashes: np.ndarray) -> np.ndarray:
        """Return the first slot to probe, from the highest bits of each hash."""
        bits = self._slots.size.bit_length() - 1
        return (hashes >> np.uint64(64 - bits)).astype(np.int64)

    def _insert(self, ids: np.ndarray) -> None:
        """Put each id into the first free slot from its word's first slot on."""
        slots = self._first_slots(self._hashes[ids])
        while ids.size:
            free = self._slots[slots] < 0
            self._slots[slots[free]] = ids[free]  # the last of several ids for one slot gets it
            probing = self._slots[slots] != ids
            ids, slots = ids[probing], (slots[probing] + 1) & (self._slots.size - 1)

    def _equal(self, buffer: np.ndarray, starts: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return whether words of a buffer equal those of some ids from the ninth byte on; lengths are equal."""
        equal = np.ones(ids.size, bool)
        live, done, stored = np.arange(ids.size), 8, self._starts[ids]
        while live.size:
            left = lengths[live] - done
            found = _read_eight(buffer, starts[live] + done, left)
            equal[live] = found == _read_eight(self._bytes, stored[live] + done, left)
            live, done = live[(left > 8) & equal[live]], done + 8
        return equal


def _hashes(buffer: np.ndarray, starts: np.ndarray, lengths: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each word of a buffer; `heads` are their first eight bytes."""
    found = _mix(lengths.astype(np.uint64), heads)
    live, done = np.flatnonzero(lengths > 8), 8
    while live.size:
        left = lengths[live] - done
        found[live] = _mix(found[live], _read_eight(buffer, starts[live] + done, left))
        live, done = live[left > 8], done + 8
    return found * _FACTOR


def _mix(found: np.ndarray, eight: np.ndarray) -> np.ndarray:
    mixed = (found ^ eight) * _FACTOR
    return mixed ^ (mixed >> np.uint64(32))


def _read_eight(buffer: np.ndarray, offsets: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return up to eight bytes of a buffer from each offset on, at most `left`, as one number each."""
    view = np.ndarray((buffer.size - 7,), "<u8", buffer, strides=(1,))
    return view[offsets] & _LOW[np.minimum(left, 8)]


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array of at least `size` entries that begins with those of `array`, doubling its size if needed."""
    if size <= array.size:
        return array
    larger = np.zeros(max(size, 2 * array.size), array.dtype)
    larger[: array.size] = array
    return larger
