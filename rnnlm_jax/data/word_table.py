"""Words of a text to their ids, many at once: a hash table in NumPy arrays whose keys are compared byte by byte."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

PADDING = 8
"""Bytes that must follow the last word of a buffer, so that words can be read eight bytes at a time."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads keys over the high bits (Knuth, vol. 3, 6.4)
#: The low k bytes of eight.
_LOW = np.array([(1 << (8 * k)) - 1 for k in range(9)], np.uint64)


def word_bounds(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the words of a text start and stop: what stands between ASCII white space, as in `split_words`.

    Args:
        data: uint8 `[N]`, UTF-8.

    Returns:
        Two int64 arrays `[n]`.
    """
    space = np.ones(data.size + 2, bool)
    space[1:-1] = (data == 0x20) | ((data - np.uint8(9)) <= 4)  # the latter are \t \n \v \f \r
    edges = np.flatnonzero(space[1:] != space[:-1])
    return edges[::2], edges[1::2]


class WordTable:
    """Distinct words, numbered in the order in which they were added; open addressing with linear probing."""

    def __init__(self, words: Iterable[bytes] = ()) -> None:
        """Number some words from 0."""
        self.size = 0
        self._bytes, self._used = np.zeros(2**10, np.uint8), 0
        self._starts, self._lengths = np.zeros(2**8, np.int64), np.zeros(2**8, np.int64)
        self._hashes, self._heads = np.zeros(2**8, np.uint64), np.zeros(2**8, np.uint64)
        self._slots = np.full(2**9, -1, np.int32)
        self.add(list(words))

    def add(self, words: list[bytes]) -> None:
        """Add words that are not there yet, each once."""
        if not words:
            return
        added = np.fromiter(map(len, words), np.int64, len(words))
        used, size = self._used + int(added.sum()), self.size + len(words)
        self._bytes = _room(self._bytes, used + PADDING)
        self._bytes[self._used : used] = np.frombuffer(b"".join(words), np.uint8)
        self._starts, self._lengths = _room(self._starts, size), _room(self._lengths, size)
        self._hashes, self._heads = _room(self._hashes, size), _room(self._heads, size)
        new = slice(self.size, size)
        self._lengths[new] = added
        self._starts[new] = self._used + np.cumsum(added) - added
        self._heads[new] = _eight(self._bytes, self._starts[new], added)
        self._hashes[new] = _hashes(self._bytes, self._starts[new], added, self._heads[new])
        first, self.size, self._used = self.size, size, used
        if 2 * size > self._slots.size:
            self._slots = np.full(4 << size.bit_length(), -1, np.int32)
            first = 0
        self._insert(np.arange(first, size, dtype=np.int32))

    def find(self, buffer: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """Return the id of each word, int32 `[n]`; -1 where it is not there.

        Args:
            buffer: uint8, with at least `PADDING` bytes after the last word.
            starts: where each word begins, int64 `[n]`.
            stops: where it ends.
        """
        lengths = stops - starts
        heads = _eight(buffer, starts, lengths)
        found = np.full(starts.size, -1, np.int32)
        left, slots = np.arange(starts.size), self._first_slots(_hashes(buffer, starts, lengths, heads))
        while left.size:
            candidates = self._slots[slots]
            free = candidates < 0
            same = (self._heads[candidates] == heads) & (self._lengths[candidates] == lengths) & ~free
            long = np.flatnonzero(same & (lengths > 8))  # of others these are all their bytes
            if long.size:
                same[long] = self._equal(buffer, starts[left[long]], lengths[long], candidates[long])
            found[left[same]] = candidates[same]
            on = ~(same | free)
            left, slots = left[on], (slots[on] + 1) & (self._slots.size - 1)
            heads, lengths = heads[on], lengths[on]
        return found

    def words(self) -> list[str]:
        """Return the words in the order of their ids."""
        data, bounds = self._bytes.tobytes(), zip(self._starts.tolist(), self._lengths.tolist(), strict=True)
        pairs = (next(bounds) for _ in range(self.size))
        return [data[start : start + length].decode("utf-8", "surrogatepass") for start, length in pairs]

    def _first_slots(self, hashes: np.ndarray) -> np.ndarray:
        """The slot to look in first, by the highest bits."""
        bits = self._slots.size.bit_length() - 1
        return (hashes >> np.uint64(64 - bits)).astype(np.int64)

    def _insert(self, ids: np.ndarray) -> None:
        """Give each word the first free slot from its own."""
        slots = self._first_slots(self._hashes[ids])
        while ids.size:
            free = self._slots[slots] < 0
            self._slots[slots[free]] = ids[free]  # of several that want a slot, one has it
            on = self._slots[slots] != ids
            ids, slots = ids[on], (slots[on] + 1) & (self._slots.size - 1)

    def _equal(self, buffer: np.ndarray, starts: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Whether words of a buffer are those of some ids, of the same lengths, from the ninth byte on."""
        equal = np.ones(ids.size, bool)
        live, done, own = np.arange(ids.size), 8, self._starts[ids]
        while live.size:
            left = lengths[live] - done
            equal[live] = _eight(buffer, starts[live] + done, left) == _eight(self._bytes, own[live] + done, left)
            live, done = live[(left > 8) & equal[live]], done + 8
        return equal


def _hashes(buffer: np.ndarray, starts: np.ndarray, lengths: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Return 64 bits for each word of a buffer, a function of its bytes; `heads` are the first eight of each."""
    found = _mixed(lengths.astype(np.uint64), heads)
    live, done = np.flatnonzero(lengths > 8), 8
    while live.size:
        left = lengths[live] - done
        found[live] = _mixed(found[live], _eight(buffer, starts[live] + done, left))
        live, done = live[left > 8], done + 8
    return found * _FACTOR


def _mixed(found: np.ndarray, eight: np.ndarray) -> np.ndarray:
    mixed = (found ^ eight) * _FACTOR
    return mixed ^ (mixed >> np.uint64(32))


def _eight(buffer: np.ndarray, at: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return the bytes of a buffer from each place on, at most eight and at most `left`, as one number each."""
    view = np.ndarray((buffer.size - 7,), "<u8", buffer, strides=(1,))
    return view[at] & _LOW[np.minimum(left, 8)]


def _room(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array of at least `size` entries that begins with those of `array`."""
    if size <= array.size:
        return array
    larger = np.zeros(max(size, 2 * array.size), array.dtype)
    larger[: array.size] = array
    return larger
