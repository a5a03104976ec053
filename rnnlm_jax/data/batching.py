"""A text as batches of fixed shape `[T, B]`: contiguous streams that carry state, or independent sentences.

This is the one place where rows of text become columns of a time-major array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.length_buckets import EpochOrder, LengthBuckets, pad_sentences
from rnnlm_jax.errors import DataError

ArrayType = TypeVar("ArrayType")


class Batch(NamedTuple, Generic[ArrayType]):
    """What one training or evaluation step reads, time-major.

    Texts give a ``Batch[np.ndarray]``; models take a ``Batch[jax.Array]`` as well.
    """

    inputs: ArrayType  # int32 [T, B], the token before each target
    targets: ArrayType  # int32 [T, B]; 0 where masked, a valid id that counts for nothing
    mask: ArrayType  # bool [T, B], which targets count


@runtime_checkable
class BatchSequence(Protocol):
    """The batches of one epoch, at random access: a resumed job jumps to its position."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Batch[np.ndarray]: ...
    def after(self, first: int, /) -> Iterator[Batch[np.ndarray]]: ...


@runtime_checkable
class Batches(Protocol):
    """What a training loop takes: the batches of any epoch, and whether state is carried from one to the next."""

    @property
    def carries_state(self) -> bool: ...
    def __len__(self) -> int: ...
    def epoch(self, epoch: int) -> BatchSequence: ...
    def close(self) -> None: ...


class StreamBatches:
    """A text laid in `B` contiguous streams and cut into windows of `T` tokens, for truncated back-propagation.

    With `S = ceil(N / B)`, stream `b` holds the tokens `b S` to `(b + 1) S - 1`; what is beyond the text is masked, as
    is the rest of the last bptt. Window `i + 1` goes on where bptt `i` ended, so a model carries its state from one
    batch to the next, from initial state at the start of the epoch. Every token is a target exactly once an epoch, and
    its input is the token before it in the text, also at the start of a stream; the first one's is `first_input`.

    Args:
        tokens: int `[N]`, the text.
        batch_size: the number of streams `B`.
        bptt: the tokens a stream gives to a batch, `T`.
        first_input: the input before the first token of the text, usually the end-of-line id.
        columns: the streams to lay out, ascending; a process of several has those of its devices. `None`: all.

    Raises:
        DataError: a size that is not positive, a negative `first_input`, or a text without tokens.
    """

    carries_state = True

    def __init__(
        self,
        tokens: np.ndarray,
        batch_size: int,
        bptt: int,
        first_input: int = 0,
        columns: np.ndarray | None = None,
    ) -> None:
        """Take the text; windows are copied out of it when they are asked for."""
        require_positive(batch_size=batch_size, bptt=bptt)
        require_not_negative(first_input=first_input)
        self._tokens = np.asarray(tokens).reshape(-1)
        if self._tokens.size == 0:
            raise DataError("there are no tokens to make batches of: give a text that is not empty")
        self.batch_size = batch_size
        self.bptt = bptt
        self._first_input = first_input
        size = self._tokens.size
        self._length = -(-size // batch_size)
        self._windows = -(-self._length // bptt)
        starts = all_columns(batch_size, columns) * self._length
        self._starts = np.minimum(starts, size)
        self._sizes = np.minimum(starts + self._length, size) - self._starts
        #: How many of the columns are whole; the ones after them are shorter, or beyond the text.
        self._whole = int(np.count_nonzero(self._sizes == self._length))
        whole_streams = size // self._length
        self._streams = self._tokens[: whole_streams * self._length].reshape(whole_streams, self._length)
        self._rows = self._starts[: self._whole] // self._length if columns is not None else slice(None)

    def __len__(self) -> int:
        """Return the number of windows an epoch."""
        return self._windows

    def __getitem__(self, i: int) -> Batch[np.ndarray]:
        """Return bptt `i` of every stream."""
        start = checked_index(i, len(self)) * self.bptt
        targets = np.zeros((self.bptt, self._starts.size), np.int32)
        whole = self._streams[:, start : start + self.bptt][self._rows]
        targets[: whole.shape[1], : self._whole] = whole.T
        for b in range(self._whole, self._starts.size):
            part = self._tokens[self._starts[b] + start : self._starts[b] + min(start + self.bptt, self._sizes[b])]
            targets[: part.size, b] = part
        mask = np.arange(start, start + self.bptt)[:, None] < self._sizes
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
        """Yield the windows after the `first` ones."""
        return (self[i] for i in range(first, len(self)))

    def epoch(self, epoch: int) -> StreamBatches:
        """Return the batches of an epoch: the same ones each time, since text that carries state has one order."""
        require_not_negative(epoch=epoch)
        return self

    def close(self) -> None:
        """Nothing is held open: the text is in memory."""


class SentenceBatches:
    """Sentences that know nothing of each other: grouped by length, padded, masked, shuffled anew each epoch.

    A sentence is a line of the text with its end-of-line token; its first input is `first_input`, so models start from
    initial state. A sentence goes to the shortest boundary that holds it; one beyond the last boundary to the next
    power of two. The last batch of a length is filled up with masked rows, so that there are as many
    shapes as lengths. Lines without tokens have nothing to predict and are left out.

    Args:
        encoded: the text.
        batch_size: sentences a batch, `B`.
        seed: the order of an epoch is a function of `(seed, epoch)` alone.
        first_input: the input before each sentence, usually the end-of-line id.
        boundaries: the padded lengths `T`, in tokens; `None`: `DEFAULT_BOUNDARIES`.
        columns: the places of a batch to fill, ascending; a process of several has those of its devices. `None`: all.

    Raises:
        DataError: a size or boundary that is not positive, a negative seed, or a text without tokens.
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
        self._columns = all_columns(batch_size, columns)
        self._first_input = first_input
        self._tokens = encoded.tokens
        self._ends = encoded.line_ends
        self._buckets = LengthBuckets(encoded.line_ends, boundaries)

    def __len__(self) -> int:
        """Return the number of batches an epoch, the same for each."""
        return self._buckets.count(self.batch_size)

    def epoch(self, epoch: int) -> SentenceEpoch:
        """Return the batches of an epoch in the order that `(seed, epoch)` gives."""
        require_not_negative(epoch=epoch)
        return SentenceEpoch(self, self._buckets.order(self.seed, epoch, self.batch_size))

    def assemble(self, length: int, rows: np.ndarray) -> Batch[np.ndarray]:
        """Return the batch of some sentences, given by line number, padded to `length` tokens."""
        own = rows[self._columns[self._columns < rows.size]]
        lines = [self._tokens[self._ends[row - 1] if row else 0 : self._ends[row]] for row in own.tolist()]
        return Batch(*pad_sentences(lines, self._columns.size, length, self._first_input))

    def close(self) -> None:
        """Nothing is held open: the text is in memory."""


class SentenceEpoch:
    """One epoch of `SentenceBatches`: its batches, built when they are asked for."""

    def __init__(self, batches: SentenceBatches, order: EpochOrder) -> None:
        """Take the order; `SentenceBatches.epoch` makes it."""
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
        """Yield the batches after the `first` ones."""
        return (self[i] for i in range(first, len(self)))


def checked_index(i: int, length: int) -> int:
    """Return an index between 0 and `length - 1`, counting negative ones from the end."""
    if not -length <= i < length:
        raise IndexError(f"batch {i} of {length}")
    return i % length


def all_columns(batch_size: int, columns: np.ndarray | None) -> np.ndarray:
    """Return the columns of a batch that are asked for."""
    return np.arange(batch_size) if columns is None else np.asarray(columns)


def require_positive(**sizes: int) -> None:
    """Refuse a size that is not positive, by its name.

    Raises:
        DataError: for the first.
    """
    for name, size in sizes.items():
        if size <= 0:
            raise DataError(f"{name}={size} is not positive: give a number of at least 1")


def require_not_negative(**numbers: int) -> None:
    """Refuse a negative number, by its name.

    Raises:
        DataError: for the first.
    """
    for name, number in numbers.items():
        if number < 0:
            raise DataError(f"{name}={number} is negative: give 0 or more")
