"""Arrays that are made part by part: in memory while they are small, then in a temporary file that is mapped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.system.cache_root import writable_folder

MOST_IN_MEMORY = 2**24
"""Bytes of an array that stay in memory."""


class SpooledArray:
    """Collects the parts of an array; what is beyond `MOST_IN_MEMORY` goes to a file in the cache folder.

    The file has no name: it is gone when the array is, however the process ends.
    """

    def __init__(self, dtype: Any) -> None:
        """Begin with nothing."""
        self.dtype = np.dtype(dtype)
        self.size = 0
        self._parts: list[np.ndarray] = []
        self._file: BinaryIO | None = None
        self._folder: Path | None = None

    def append(self, part: np.ndarray) -> None:
        """Add a part, which must fit in the type.

        Raises:
            DataError: there is no room for the file.
        """
        part = part.astype(self.dtype)
        self.size += part.size
        self._parts.append(part)
        if self._file is not None or self.size * self.dtype.itemsize > MOST_IN_MEMORY:
            self._spill()

    def finish(self, in_memory: Any) -> np.ndarray:
        """Return the array: of type `in_memory` if it is in memory, else a read-only map of the file in its own type.

        Raises:
            DataError: as `append`.
        """
        if self._file is None:
            parts = self._parts or [np.zeros(0, self.dtype)]
            return np.concatenate(parts, dtype=in_memory, casting="unsafe")
        with self._told():
            self._file.flush()
        return np.memmap(self._file, self.dtype, mode="r", shape=(self.size,))

    def _spill(self) -> None:
        with self._told():
            if self._file is None:
                self._folder = writable_folder("texts")
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # the map keeps it
            for part in self._parts:
                self._file.write(part.data)
        self._parts = []

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what goes wrong with the file as a `UserError`."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"the encoded text cannot be written to {self._folder or 'the cache folder'} "
                f"({error.strerror or error}): make room there, or set RNNLM_JAX_CACHE to another folder"
            ) from error
