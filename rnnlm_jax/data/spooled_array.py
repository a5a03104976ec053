"""Arrays built part by part: in memory while small, then in a memory-mapped temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from rnnlm_jax.errors import DataError
from rnnlm_jax.system.cache_root import writable_folder

MOST_IN_MEMORY = 2**24
"""Largest size in bytes of an array that stays in memory."""


class SpooledArray:
    """An array built by appending parts; beyond `MOST_IN_MEMORY` bytes it moves to a file in the cache folder.

    The file has no name, so it disappears with the array, however the process ends.

    Args:
        dtype: type of the entries.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        """Begin with an empty array."""
        self.dtype = np.dtype(dtype)
        self.size = 0
        self._parts: list[np.ndarray] = []
        self._file: BinaryIO | None = None
        self._folder: Path | None = None

    def append(self, part: np.ndarray) -> None:
        """Append a part, whose values must fit the type.

        Raises:
            DataError: the file cannot be written.
        """
        part = part.astype(self.dtype)
        self.size += part.size
        self._parts.append(part)
        if self._file is not None or self.size * self.dtype.itemsize > MOST_IN_MEMORY:
            self._spill()

    def finish(self, in_memory: DTypeLike) -> np.ndarray:
        """Return the array: with type `in_memory` if it is in memory, else a read-only memory map in its own type.

        Raises:
            DataError: as `append`.
        """
        if self._file is None:
            parts = self._parts or [np.zeros(0, self.dtype)]
            return np.concatenate(parts, dtype=in_memory, casting="unsafe")
        with self._as_data_errors():
            self._file.flush()
        return np.memmap(self._file, self.dtype, mode="r", shape=(self.size,))

    def _spill(self) -> None:
        with self._as_data_errors():
            if self._file is None:
                self._folder = writable_folder("texts")
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # kept open by the memory map
            for part in self._parts:
                self._file.write(part.data)
        self._parts = []

    @contextmanager
    def _as_data_errors(self) -> Iterator[None]:
        """Turn errors of writing the file into a `DataError`."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"the encoded text cannot be written to {self._folder or 'the cache folder'} "
                f"({error.strerror or error}): make room there, or set RNNLM_JAX_CACHE to another folder"
            ) from error
