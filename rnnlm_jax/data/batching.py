"""Batches of a text in memory, time-major `[T, B]`: contiguous streams that carry state, or independent sentences."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.length_buckets import EpochOrder, LengthBuckets, pad_sentences
from rnnlm_jax.data.windows import EpochWindows, RandomBptt
from rnnlm_jax.errors import ArgumentError, DataError

ArrayType = TypeVar("ArrayType")


class Batch(NamedTuple, Generic[ArrayType]):
    """Input of one training or evaluation step, time-major.

    Batch iterators yield a ``Batch[np.ndarray]``; models take a ``Batch[jax.Array]`` as well.
    """

    inputs: ArrayType  # int32 [T, B], the token before each target
    targets: ArrayType  # int32 [T, B]; where masked 0, a valid id that does not count
    mask: ArrayType  # bool [T, B], True where the target counts


@runtime_checkable
class BatchSequence(Protocol):
    """The batches of one epoch, with random access so that a resumed job can jump to its position."""

    def __len__(self) -> int:
        """Return the number of batches."""
        ...

    def __getitem__(self, i: int, /) -> Batch[np.ndarray]:
        """Return batch `i`."""
        ...

    def after(self, first: int, /) -> Iterator[Batch[np.ndarray]]:
        """Yield the batches from number `first` on."""
        ...


@runtime_checkable
class Batches(Protocol):
    """The batches of all epochs, as a training loop takes them."""

    @property
    def carries_state(self) -> bool:
        """Whether the model's state is carried from each batch to the next."""
        ...

    def batch_count(self, epoch: int) -> int:
        """Return the number of batches in an epoch, counted from 0: `len(epoch(epoch))` without preparing any."""
        ...

    def epoch(self, epoch: int) -> BatchSequence:
        """Return the batches of an epoch, counted from 0."""
        ...

    def close(self) -> None:
        """Release threads, processes and files."""
        ...


class StreamBatches:
    """`B` contiguous streams of a text, cut into windows of `T` tokens for truncated back-propagation through time.

    These are the batches of epoch 0; `epoch` returns those of another epoch. They are the same in every epoch, since
    carried state fixes the order, unless `random` is given.

    With `S = ceil(N / B)`, stream `b` holds the tokens `b S` to `(b + 1) S - 1`; positions beyond the text, and beyond
    the end of a stream in the last window, are masked. Window `i + 1` continues where window `i` ended, so a model
    carries its state from each batch to the next, starting from its initial state in each epoch. Every token is a
    target exactly once an epoch; its input is the token before it in the text, also at the start of a stream, and
    `first_input` for the first token of the text.

    Windows of random lengths are padded at their end: there the mask is False in all streams, and a model should keep
    its state.

    Args:
        tokens: int `[N]`, the text.
        batch_size: number of streams `B`.
        bptt: length `T` of a window, in tokens.
        first_input: input before the first token of the text, usually the end-of-line id.
        columns: streams to return, ascending: those of the devices of this process; `None`: all.
        random: distribution of random lengths around `bptt`; `None`: all windows have that length.
        seed: seed of random lengths, which are a function of `(seed, epoch, number of the window)`.

    Raises:
        ArgumentError: a size is not positive, or `first_input` is negative.
        DataError: the text has no tokens.
    """

    carries_state = True

    def __init__(
        self,
        tokens: np.ndarray,
        batch_size: int,
        bptt: int,
        *,
        first_input: int = 0,
        columns: np.ndarray | None = None,
        random: RandomBptt | None = None,
        seed: int = 0,
    ) -> None:
        """Keep the text; each window is copied from it on access."""
        require_positive(batch_size=batch_size, bptt=bptt)
        require_not_negative(first_input=first_input, seed=seed)
        self._tokens = np.asarray(tokens).reshape(-1)
        if self._tokens.size == 0:
            raise DataError("the text has no tokens to make batches of: give one that is not empty")
        self.batch_size = batch_size
        self.bptt = bptt
        self._first_input = first_input
        size = self._tokens.size
        self._length = -(-size // batch_size)
        self._epochs = EpochWindows(self._length, bptt, random, seed)
        self._windows = self._epochs.epoch(0)
        starts = selected_columns(batch_size, columns) * self._length
        self._starts = np.minimum(starts, size)
        self._sizes = np.minimum(starts + self._length, size) - self._starts
        #: Number of columns that are full streams; the others are shorter, or lie beyond the text.
        self._whole = int(np.count_nonzero(self._sizes == self._length))
        whole_streams = size // self._length
        self._streams = self._tokens[: whole_streams * self._length].reshape(whole_streams, self._length)
        self._rows = self._starts[: self._whole] // self._length if columns is not None else slice(None)

    def __len__(self) -> int:
        """Return the number of windows in this epoch."""
        return len(self._windows)

    def __getitem__(self, i: int) -> Batch[np.ndarray]:
        """Return window `i` of every stream."""
        number = checked_index(i, len(self))
        start, end = self._windows.bounds(number, number + 1).tolist()
        steps = int(self._windows.padded(np.array([end - start]))[0])
        targets = np.zeros((steps, self._starts.size), np.int32)
        whole = self._streams[:, start:end][self._rows]
        targets[: end - start, : self._whole] = whole.T
        for b in range(self._whole, self._starts.size):
            part = self._tokens[self._starts[b] + start : self._starts[b] + min(end, self._sizes[b])]
            targets[: part.size, b] = part
        mask = np.arange(start, start + steps)[:, None] < np.minimum(self._sizes, end)
        inputs = np.empty_like(targets)
        before = self._starts + start - 1
        inputs[0] = np.where(before < 0, self._first_input, self._tokens[np.clip(before, 0, self._tokens.size - 1)])
        inputs[1:] = targets[:-1]
        inputs[~mask] = 0
        batch = Batch(inputs, targets, mask)
        for part in batch:
            part.setflags(write=False)
        return batch

    def __iter__(self) -> Iterator[Batch[np.ndarray]]:
        """Yield the windows in the order of the text."""
        return self.after(0)

    def after(self, first: int) -> Iterator[Batch[np.ndarray]]:
        """Yield the windows from number `first` on."""
        return (self[i] for i in range(first, len(self)))

    def batch_count(self, epoch: int) -> int:
        """Return the number of windows in an epoch."""
        require_not_negative(epoch=epoch)
        return len(self._epochs.epoch(epoch))

    def epoch(self, epoch: int) -> StreamBatches:
        """Return the batches of an epoch, a view of the same text."""
        require_not_negative(epoch=epoch)
        view = copy.copy(self)
        view._windows = self._epochs.epoch(epoch)
        return view

    def close(self) -> None:
        """Do nothing: the text is in memory."""


class SentenceBatches:
    """Independent sentences, batched by padded length and shuffled in each epoch.

    A sentence is a line of the text with its end-of-line token; its first input is `first_input`, and models start it
    from their initial state. It is padded to the shortest boundary that is at least its length, or beyond the last
    boundary to the next power of two. The last batch of a length is filled with masked rows, so that each length has
    one shape. Lines without tokens are left out.

    Args:
        encoded: the text.
        batch_size: sentences in a batch, `B`.
        seed: seed of the order; the order of an epoch is a function of `(seed, epoch)`.
        first_input: input before each sentence, usually the end-of-line id.
        boundaries: padded lengths `T`, in tokens; `None`: `DEFAULT_BOUNDARIES`.
        columns: columns of each batch to return, ascending: those of the devices of this process; `None`: all.

    Raises:
        ArgumentError: a size or boundary is not positive, or `seed` or `first_input` is negative.
        DataError: the text has no tokens.
    """

    carries_state = False

    def __init__(
        self,
        encoded: EncodedText,
        batch_size: int,
        *,
        seed: int = 0,
        first_input: int = 0,
        boundaries: Sequence[int] | None = None,
        columns: np.ndarray | None = None,
    ) -> None:
        """Sort the sentences by padded length."""
        require_positive(batch_size=batch_size)
        require_not_negative(seed=seed, first_input=first_input)
        self.batch_size = batch_size
        self.seed = seed
        self._columns = selected_columns(batch_size, columns)
        self._first_input = first_input
        self._tokens = encoded.tokens
        self._ends = encoded.line_ends
        self._buckets = LengthBuckets(encoded.line_ends, boundaries)

    def batch_count(self, epoch: int) -> int:
        """Return the number of batches in an epoch, the same for each."""
        require_not_negative(epoch=epoch)
        return self._buckets.batch_count(self.batch_size)

    def epoch(self, epoch: int) -> SentenceEpoch:
        """Return the batches of an epoch in the order that `(seed, epoch)` gives."""
        require_not_negative(epoch=epoch)
        return SentenceEpoch(self, self._buckets.order(self.seed, epoch, self.batch_size))

    def assemble(self, length: int, rows: np.ndarray) -> Batch[np.ndarray]:
        """Return the batch of the sentences with line numbers `rows`, padded to `length` tokens."""
        chosen = rows[self._columns[self._columns < rows.size]]
        lines = [self._tokens[self._ends[row - 1] if row else 0 : self._ends[row]] for row in chosen.tolist()]
        return Batch(*pad_sentences(lines, self._columns.size, length, first_input=self._first_input))

    def close(self) -> None:
        """Do nothing: the text is in memory."""


class SentenceEpoch:
    """The batches of one epoch of `SentenceBatches`, each assembled on access."""

    def __init__(self, batches: SentenceBatches, order: EpochOrder) -> None:
        """Keep the order of the batches; call `SentenceBatches.epoch` instead."""
        self._batches = batches
        self._order = order

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._order)

    def __getitem__(self, i: int) -> Batch[np.ndarray]:
        """Return batch `i`."""
        return self._batches.assemble(*self._order[checked_index(i, len(self))])

    def __iter__(self) -> Iterator[Batch[np.ndarray]]:
        """Yield the batches in order."""
        return self.after(0)

    def after(self, first: int) -> Iterator[Batch[np.ndarray]]:
        """Yield the batches from number `first` on."""
        return (self[i] for i in range(first, len(self)))


def checked_index(i: int, length: int) -> int:
    """Return an index between 0 and `length - 1`, counting negative ones from the end."""
    if not -length <= i < length:
        raise IndexError(f"batch {i} of {length}")
    return i % length


def selected_columns(batch_size: int, columns: np.ndarray | None) -> np.ndarray:
    """Return the numbers of the selected columns of a batch: all of them if `columns` is None."""
    return np.arange(batch_size) if columns is None else np.asarray(columns)


def require_positive(**sizes: int) -> None:
    """Check that sizes, given by name, are positive.

    Raises:
        ArgumentError: a size is not.
    """
    for name, size in sizes.items():
        if size <= 0:
            raise ArgumentError(f"`{name}` must be at least 1, not {size}")


def require_not_negative(**numbers: int) -> None:
    """Check that numbers, given by name, are not negative.

    Raises:
        ArgumentError: a number is negative.
    """
    for name, number in numbers.items():
        if number < 0:
            raise ArgumentError(f"`{name}` must be 0 or more, not {number}")
