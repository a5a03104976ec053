"""Hashed n-gram features: direct weights from the last words to classes and words, all in one table.

The features of one history are a window of the table, one weight for each class, or for each word of a class; its
position is a hash of the history. Windows may overlap: collisions are accepted (Mikolov, Deoras, Povey, Burget &
Cernocky 2011, "Strategies for training large scale neural network language models").
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, sum_duplicate_rows
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.kernels.operation import Operation
from rnnlm_jax.outputs.word_classes import WordClasses

#: The table is an array [lines, LINE]; it is read and updated by line, 64 bytes in float32.
LINE = 16
#: Largest order of the n-grams.
MAX_ORDER = 9
#: Line numbers are int32, and the largest means "no line".
MAX_WEIGHTS = LINE * (UNUSED - 1)
_FIRST, _FACTOR, _CLASS_FACTOR = np.uint32(0x2545F491), np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)
_OFFSET_SALT = np.uint32(0x27D4EB2F)


class Starts(NamedTuple):
    """First weight of each window, as a line of the table and an offset in it.

    Two numbers, because a table may have more weights than an int32 can count.
    """

    lines: Int[Array, "*N O"]
    offsets: Int[Array, "*N O"]


class Windows(NamedTuple):
    """Windows of N targets: features of classes in the table's first half, of words in its second."""

    classes: Starts
    words: Starts


@dataclass(frozen=True)
class DirectFeatures:
    """Features of histories of 0 to ``order - 1`` words, in a table of ``size`` weights, rounded up to whole lines.

    Raises:
        ArgumentError: for an order outside 1 to ``MAX_ORDER``, or a table too small for the features of one history.
    """

    classes: WordClasses
    order: int
    size: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not _is_int(self.order) or not 1 <= self.order <= MAX_ORDER:
            raise ArgumentError(f"`order` must be a whole number from 1 to {MAX_ORDER}, not {self.order!r}")
        widest = max(self.classes.count, self.classes.width)
        if self.half < _most_lines(widest):
            raise ArgumentError(
                f"a table of {self.size} weights cannot hold the features of one history, {widest} in each half: "
                "give a larger `table_size`"
            )

    @property
    def half(self) -> int:
        """Number of lines in each half of the table; also the first line of the words' features."""
        return -(-self.size // (2 * LINE))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the table."""
        return 2 * self.half, LINE

    def keys(self, context: Int[Array, "N P"]) -> Array:
        """Return ``k_n = k_{n-1} A + w_n + 2 mod 2³²``, a polynomial in the ids of the last words: uint32 [N, order].

        Args:
            context: the words before each target, the last one first; -1 before the first word of a text.
        """
        key = jnp.full(context.shape[:1], _FIRST)
        keys = [key]
        for n in range(self.order - 1):
            key = key * _FACTOR + (context[:, n] + 2).astype(jnp.uint32)
            keys.append(key)
        return jnp.stack(keys, axis=1)

    def class_windows(self, keys: Array) -> Starts:
        """Return the windows of histories for all classes, ``[N, O]``."""
        return self._starts(keys, self.classes.count, first=0)

    def word_windows(self, keys: Array, of_classes: Int[Array, "*C"]) -> Starts:
        """Return the windows of histories for the words of one class; keys and classes are broadcast."""
        class_keys = keys * _CLASS_FACTOR + (of_classes[..., None] + 1).astype(jnp.uint32)
        return self._starts(class_keys, self.classes.width, first=self.half)

    def _starts(self, keys: Array, width: int, first: int) -> Starts:
        """Return a window for each key in one half of the table, such that ``width`` weights fit."""
        lines = (_mixed(keys) % np.uint32(self.half - _most_lines(width) + 1)).astype(jnp.int32)
        return Starts(lines + np.int32(first), (_mixed(keys ^ _OFFSET_SALT) % np.uint32(LINE)).astype(jnp.int32))

    def windows(self, context: Int[Array, "N P"], of_rows: Int[Array, " N"]) -> Windows:
        """Return the windows of targets, from the words before them and their own classes."""
        keys = self.keys(context)
        return Windows(self.class_windows(keys), self.word_windows(keys, of_rows))

    def class_sums(self, table: Float[Array, "L 16"], starts: Starts) -> Float[Array, "N C"]:
        """Return ``Σ_n`` of the features of every class."""
        sizes = jnp.full(starts.lines.shape[:1], self.classes.count, jnp.int32)
        return _sums(table, *starts, sizes, width=np.int64(self.classes.count))[0]

    def word_sums(self, table: Float[Array, "L 16"], starts: Starts, of_rows: Int[Array, " N"]) -> Float[Array, "N W"]:
        """Return ``Σ_n`` of the features of the words of each row's class; 0 beyond them."""
        sizes = jnp.asarray(self.classes.sizes)[of_rows]
        return _sums(table, *starts, sizes, width=np.int64(self.classes.width))[0]

    def all_word_sums(self, table: Float[Array, "L 16"], context: Int[Array, "N P"]) -> Float[Array, "N V"]:
        """Return ``Σ_n`` of the features of every word, by rank, each from the window of its class."""
        keys, class_of = self.keys(context), self.classes.class_of
        positions = jnp.asarray(np.arange(len(class_of), dtype=np.int32) - self.classes.starts[class_of])
        every = jnp.arange(self.classes.count, dtype=jnp.int32)
        total = jnp.zeros((context.shape[0], len(class_of)), table.dtype)
        for n in range(self.order):
            starts = self.word_windows(keys[:, None, n : n + 1], every[None])
            lines, offsets = (part[..., 0][:, class_of] for part in starts)
            within = offsets + positions[None]
            total = total + table[lines + within // LINE, within % LINE]
        return total

    def gradient(
        self,
        table: Float[Array, "L 16"],
        windows: Windows,
        of_rows: Int[Array, " N"],
        *,
        class_gradient: Float[Array, "N C"],
        word_gradient: Float[Array, "N W"],
        shrink: Float[Array, " N"],
    ) -> RowGradient:
        """Return the gradient of the lines of the table that were read.

        Args:
            table: the table.
            windows: windows that were read.
            of_rows: class of each row's target.
            class_gradient: gradient of ``class_sums``.
            word_gradient: gradient of ``word_sums``.
            shrink: each row adds ``shrink · T`` to the gradient of each weight ``T`` that it reads.
        """
        sizes = jnp.asarray(self.classes.sizes)[of_rows]
        slopes = class_gradient, word_gradient, shrink
        return RowGradient(*_gradient(table, *slopes, *windows.classes, *windows.words, sizes))


def whole_table_size(table_size: float) -> int:
    """Return the number of weights of a table as an int; ``2e9`` is accepted.

    Raises:
        ArgumentError: if it is not a whole number in the range that line numbers allow.
    """
    whole = table_size.is_integer() if isinstance(table_size, float) else _is_int(table_size)
    if not whole or not 2 * LINE <= table_size <= MAX_WEIGHTS:
        raise ArgumentError(f"`table_size` must be a whole number from {2 * LINE} to {MAX_WEIGHTS}, not {table_size!r}")
    return int(table_size)


def _most_lines(width: int) -> int:
    """Return the most lines that a window covers, for any offset in its first line."""
    return (width + LINE - 2) // LINE + 1


def _within(sizes: Int[Array, " N"], width: int) -> Bool[Array, "N W"]:
    """Return which of a window's weights are within the size of each row."""
    return jnp.arange(width, dtype=sizes.dtype)[None] < sizes[:, None]


def _windows(table: Array, starts: Starts, sizes: Array, width: int) -> Array:
    """Return the weights of each window, [N, O, W], with 0 beyond the size of each row."""
    lines = jnp.arange(_most_lines(width), dtype=jnp.int32)
    lines = starts.lines[..., None] + over_batch(lines, starts.lines[..., None])
    flat = table.at[lines].get(mode="fill", fill_value=0).reshape(*starts.lines.shape, -1)
    each = jax.vmap(jax.vmap(lambda run, offset: jax.lax.dynamic_slice(run, (offset,), (width,))))
    return jnp.where(_within(sizes, width)[:, None], each(flat, starts.offsets), 0)


def _sums_reference(table: Array, lines: Array, offsets: Array, sizes: Array, *, width: int) -> tuple[Array]:
    return (_windows(table, Starts(lines, offsets), sizes, int(width)).sum(axis=1),)


def _gradient_reference(
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
    gradient = sum_duplicate_rows(ids, rows)
    return gradient.ids, gradient.rows


#: On a CPU both are C++ kernels, whose time depends on the weights that are read, not on the largest class.
_sums = Operation("feature_sums", _sums_reference)
_gradient = Operation("feature_gradient", _gradient_reference)


def _lines(starts: Starts, sizes: Array, slopes: Array) -> tuple[Array, Array]:
    """Return windows as the lines that they cover, ``[M]`` ids and ``[M, LINE]``; ``UNUSED`` beyond a window's size."""
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
    """Return keys with their bits mixed, one to one: the finaliser of MurmurHash3."""
    keys = (keys ^ (keys >> 16)) * np.uint32(0x85EBCA6B)
    keys = (keys ^ (keys >> 13)) * np.uint32(0xC2B2AE35)
    return keys ^ (keys >> 16)


def _is_int(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
