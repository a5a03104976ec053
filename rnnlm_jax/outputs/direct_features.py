"""Hashed n-gram features: weights straight from the last words to classes and words, all in one table.

The features of one history are a window of the table, one weight for each class, or for each word of a class; where it
begins is a hash of the history. Windows may overlap: collisions are accepted (Mikolov, Deoras, Povey, Burget & Cernocky
2011, "Strategies for training large scale neural network language models").
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, sum_duplicate_rows
from rnnlm_jax.errors import UserError
from rnnlm_jax.kernels.operation import Operation
from rnnlm_jax.outputs.word_classes import WordClasses

#: The table is an array [lines, LINE]: gradient and update go by line, 64 bytes in float32.
LINE = 16
#: Longer histories than this are not taken.
MOST_ORDER = 9
#: Numbers of lines are int32, and the last of those stands for no line.
MOST_WEIGHTS = LINE * (UNUSED - 1)
_FIRST, _FACTOR, _CLASS_FACTOR = np.uint32(0x2545F491), np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)
_OF_OFFSET = np.uint32(0x27D4EB2F)


class Starts(NamedTuple):
    """Where windows begin: at which line of the table, and at which of its weights.

    Two numbers, because a table may have more weights than an int32 can number.
    """

    lines: Int[Array, "*N O"]
    offsets: Int[Array, "*N O"]


class Windows(NamedTuple):
    """Where the features of N targets begin: those of classes in the table's first half, of words in its second."""

    classes: Starts
    words: Starts


@dataclass(frozen=True)
class DirectFeatures:
    """Features of histories of 0 to ``order - 1`` words, in a table of ``size`` weights, rounded up to whole lines."""

    classes: WordClasses
    order: int
    size: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not _whole(self.order) or not 1 <= self.order <= MOST_ORDER:
            raise UserError(f"order must be a whole number from 1 to {MOST_ORDER}, not {self.order!r}")
        if not _whole(self.size) or not 2 * LINE <= self.size <= MOST_WEIGHTS:
            raise UserError(f"table_size must be a whole number from {2 * LINE} to {MOST_WEIGHTS}, not {self.size!r}")
        widest = max(self.classes.count, self.classes.width)
        if self.half < _most_lines(widest):
            raise UserError(
                f"a table of {self.size} weights cannot hold the features of one history, {widest} in each half: "
                "give a larger table_size"
            )

    @property
    def half(self) -> int:
        """Lines of each half: those of the words' features begin here."""
        return -(-self.size // (2 * LINE))

    @property
    def shape(self) -> tuple[int, int]:
        """Of the table."""
        return 2 * self.half, LINE

    def keys(self, past: Int[Array, "N P"]) -> Array:
        """``k_n = k_{n-1} A + w_n + 2 mod 2³²``, a polynomial in the ids of the last words: uint32 [N, order].

        Args:
            past: the words before each target, the last one first; -1 where there is none.
        """
        key = jnp.full(past.shape[:1], _FIRST)
        found = [key]
        for n in range(self.order - 1):
            key = key * _FACTOR + (past[:, n] + 2).astype(jnp.uint32)
            found.append(key)
        return jnp.stack(found, axis=1)

    def class_windows(self, keys: Array) -> Starts:
        """Where the weights of a history for all classes begin, ``[N, O]``."""
        return self._starts(keys, self.classes.count, first=0)

    def word_windows(self, keys: Array, of_classes: Int[Array, "*C"]) -> Starts:
        """Where the weights of a history for the words of one class begin; keys and classes are broadcast."""
        of_both = keys * _CLASS_FACTOR + (of_classes[..., None] + 1).astype(jnp.uint32)
        return self._starts(of_both, self.classes.width, first=self.half)

    def _starts(self, keys: Array, width: int, first: int) -> Starts:
        """A place for each key in one half of the table, from which ``width`` weights fit."""
        lines = (_mixed(keys) % np.uint32(self.half - _most_lines(width) + 1)).astype(jnp.int32)
        return Starts(lines + np.int32(first), (_mixed(keys ^ _OF_OFFSET) % np.uint32(LINE)).astype(jnp.int32))

    def windows(self, past: Int[Array, "N P"], of_rows: Int[Array, " N"]) -> Windows:
        """The windows of targets by the words before them and their own classes."""
        keys = self.keys(past)
        return Windows(self.class_windows(keys), self.word_windows(keys, of_rows))

    def class_sums(self, table: Float[Array, "L 16"], starts: Starts) -> Float[Array, "N C"]:
        """``Σ_n`` of the features of every class."""
        sizes = jnp.full(starts.lines.shape[:1], self.classes.count, jnp.int32)
        return _sums(table, *starts, sizes, width=np.int64(self.classes.count))[0]

    def word_sums(self, table: Float[Array, "L 16"], starts: Starts, of_rows: Int[Array, " N"]) -> Float[Array, "N W"]:
        """``Σ_n`` of the features of the words of each row's class; 0 beyond them."""
        sizes = jnp.asarray(self.classes.sizes)[of_rows]
        return _sums(table, *starts, sizes, width=np.int64(self.classes.width))[0]

    def all_word_sums(self, table: Float[Array, "L 16"], past: Int[Array, "N P"]) -> Float[Array, "N V"]:
        """``Σ_n`` of the features of every word, by rank, each in the window of its class."""
        keys, class_of = self.keys(past), self.classes.class_of
        places = jnp.asarray(np.arange(len(class_of), dtype=np.int32) - self.classes.starts[class_of])
        every = jnp.arange(self.classes.count, dtype=jnp.int32)
        total = jnp.zeros((past.shape[0], len(class_of)), table.dtype)
        for n in range(self.order):
            starts = self.word_windows(keys[:, None, n : n + 1], every[None])
            lines, offsets = (part[..., 0][:, class_of] for part in starts)
            within = offsets + places[None]
            total = total + table[lines + within // LINE, within % LINE]
        return total

    def gradient(
        self,
        table: Float[Array, "L 16"],
        windows: Windows,
        of_rows: Int[Array, " N"],
        of_classes: Float[Array, "N C"],
        of_words: Float[Array, "N W"],
        shrink: Float[Array, " N"],
    ) -> RowGradient:
        """The gradient of the table by line, from those of the sums; nothing that was not read has one.

        To the gradient of a weight ``T`` each row that reads it adds ``shrink · T``.
        """
        sizes = jnp.asarray(self.classes.sizes)[of_rows]
        return RowGradient(*_gradient(table, of_classes, of_words, shrink, *windows.classes, *windows.words, sizes))


def _most_lines(width: int) -> int:
    """How many lines a window lies in at most, wherever in its first line it begins."""
    return (width + LINE - 2) // LINE + 1


def _within(sizes: Int[Array, " N"], width: int) -> Bool[Array, "N W"]:
    """Which of a window's weights are within the size of each row."""
    return jnp.arange(width, dtype=sizes.dtype)[None] < sizes[:, None]


def _windows(table: Array, starts: Starts, sizes: Array, width: int) -> Array:
    """The weights that begin at each start, [N, O, W], with 0 beyond the size of each row."""
    lines = jnp.arange(_most_lines(width), dtype=jnp.int32)
    found = table.at[starts.lines[..., None] + over_batch(lines, starts.lines[..., None])].get(
        mode="fill", fill_value=0
    )
    flat = found.reshape(*starts.lines.shape, -1)
    each = jax.vmap(jax.vmap(lambda run, offset: jax.lax.dynamic_slice(run, (offset,), (width,))))
    return jnp.where(_within(sizes, width)[:, None], each(flat, starts.offsets), 0)


def _sums_meaning(table: Array, lines: Array, offsets: Array, sizes: Array, *, width: int) -> tuple[Array]:
    return (_windows(table, Starts(lines, offsets), sizes, int(width)).sum(axis=1),)


def _gradient_meaning(
    table: Array,
    of_classes: Array,
    of_words: Array,
    shrink: Array,
    class_lines: Array,
    class_offsets: Array,
    word_lines: Array,
    word_offsets: Array,
    sizes: Array,
) -> tuple[Array, Array]:
    parts = []
    for starts, slopes, size in (
        (Starts(class_lines, class_offsets), of_classes, jnp.full_like(sizes, of_classes.shape[1])),
        (Starts(word_lines, word_offsets), of_words, sizes),
    ):
        shrinks = shrink[:, None, None] * _windows(table, starts, size, slopes.shape[1])
        parts.append(_lines(starts, size, slopes[:, None] + shrinks))
    ids, rows = (jnp.concatenate(each) for each in zip(*parts, strict=True))
    found = sum_duplicate_rows(ids, rows)
    return found.ids, found.rows


#: On a CPU both are kernels: time goes with the weights that are read, and not with the largest class.
_sums = Operation("feature_sums", _sums_meaning)
_gradient = Operation("feature_gradient", _gradient_meaning)


def _lines(starts: Starts, sizes: Array, slopes: Array) -> tuple[Array, Array]:
    """Windows as the lines that they lie in, ``[M]`` ids and ``[M, LINE]``; ``UNUSED`` beyond a window's size."""
    width = slopes.shape[-1]
    count = _most_lines(width)
    number = jnp.arange(count, dtype=jnp.int32)
    number = over_batch(number, starts.lines[..., None])
    inside = number * LINE < (starts.offsets + sizes[:, None])[..., None]
    ids = jnp.where(inside, starts.lines[..., None] + number, UNUSED)
    of_window = jnp.where(_within(sizes, width)[:, None], slopes, 0)
    padded = jnp.pad(of_window, ((0, 0), (0, 0), (LINE - 1, count * LINE)))
    shifted = jax.vmap(jax.vmap(lambda row, by: jax.lax.dynamic_slice(row, (LINE - 1 - by,), (count * LINE,))))
    return ids.reshape(-1), shifted(padded, starts.offsets).reshape(-1, LINE)


def _mixed(keys: Array) -> Array:
    """Bits of a key spread over all places, one to one: the finaliser of MurmurHash3."""
    keys = (keys ^ (keys >> 16)) * np.uint32(0x85EBCA6B)
    keys = (keys ^ (keys >> 13)) * np.uint32(0xC2B2AE35)
    return keys ^ (keys >> 16)


def _whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
