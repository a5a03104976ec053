"""Where the lines of a text lie among its tokens: found by reading all records once, kept in the cache folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.data.encoded import text_digest
from rnnlm_jax.data.records.pipeline import Pipeline
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.errors import UserError, warn
from rnnlm_jax.system.cache_root import cache_root, require_writable
from rnnlm_jax.system.file_lock import single_build

_FORMAT = "rnnlm_jax record index 2"
_AT_ONCE = 4096  # records of an element
_WORTH_WORKERS = 64  # elements: they take seconds to start


@dataclass(frozen=True, eq=False)
class RecordIndex:
    """What is known of an encoded text without its tokens; the arrays are maps of files, shared by all processes.

    Attributes:
        folder: of the files.
        tokens: how many there are, N.
        lines: how many, L.
        records: how many, R.
        oov: tokens that became the unknown one.
        characters: of the text, newlines included where lines end in a token.
        digest: that of the same text in memory, see `text_digest`.
    """

    folder: Path
    tokens: int
    lines: int
    records: int
    oov: int
    characters: int
    digest: str

    @cached_property
    def line_ends(self) -> np.ndarray:
        """The exclusive end of each line among the tokens, int64 `[L]`."""
        return np.load(self.folder / "line_ends.npy", mmap_mode="r")

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each word of the vocabulary stands in the text, int64 `[V]`."""
        return np.load(self.folder / "counts.npy")

    @cached_property
    def _record_lines(self) -> np.ndarray:
        return np.load(self.folder / "record_lines.npy", mmap_mode="r")

    def first_lines(self, records: np.ndarray) -> np.ndarray:
        """Return the first line of each record; that of record R is L."""
        return records if self.lines == self.records else self._record_lines[records]

    def records_of(self, lines: np.ndarray) -> np.ndarray:
        """Return the record of each line."""
        if self.lines == self.records:
            return lines
        return np.searchsorted(self._record_lines, lines, side="right") - 1

    def first_tokens(self, lines: np.ndarray) -> np.ndarray:
        """Return the first token of each line; that of line L is N."""
        return np.where(lines > 0, self.line_ends[lines - 1], 0)

    def lines_of(self, tokens: np.ndarray) -> np.ndarray:
        """Return the line of each token."""
        return np.searchsorted(self.line_ends, tokens, side="right")

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields alone: another process maps the files for itself."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def open_index(
    records: TextRecords, vocabulary: Vocabulary, workers: int, progress: Callable[[int], object] = lambda tokens: None
) -> RecordIndex:
    """Return the index of a text, out of the cache folder if it is there and whole, or else made and kept there.

    Args:
        records: the text.
        vocabulary: that encodes it.
        workers: processes to encode with.
        progress: told of the tokens of each part that has been read.

    Raises:
        UserError: the text cannot be read, or has an unknown token where none may be, or the index cannot be written.
    """
    key = hashlib.sha256(json.dumps([_FORMAT, records.identity, vocabulary.content_hash]).encode()).hexdigest()
    folder = cache_root() / "record_indexes" / key[:32]
    found = _load(folder)
    if found is not None:
        return found
    try:
        require_writable(folder.parent)
        with single_build(folder.parent, folder.name) as temporary:
            if (found := _load(folder)) is not None:  # another process has made it meanwhile
                return found
            if folder.exists():
                warn(f"the index of the text in {folder} is damaged: reading all of the text again")
            new = temporary / "index"
            new.mkdir()
            _write(new, records, vocabulary, workers, progress)
            shutil.rmtree(folder, ignore_errors=True)  # damaged, if it is there
            new.rename(folder)
    except OSError as error:
        raise UserError(
            f"the index of the text cannot be written to {folder} ({error.strerror or error}): make room there, or "
            "set RNNLM_JAX_CACHE to another folder"
        ) from error
    found = _load(folder)
    if found is None:
        raise UserError(f"the index of the text in {folder} cannot be read back: set RNNLM_JAX_CACHE to another folder")
    return found


class _Part(NamedTuple):
    """Some records, encoded."""

    tokens: np.ndarray  # int32 [n]
    line_lengths: np.ndarray  # int32, of each line, in tokens
    record_lines: np.ndarray  # int32, of each record, in lines
    totals: np.ndarray  # int64, of unknown tokens and of characters


@dataclass(frozen=True)
class _Parts:
    """All records in order, some at a time."""

    records: TextRecords
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return -(-len(self.records) // _AT_ONCE)

    def __getitem__(self, index: int) -> _Part:
        first = index * _AT_ONCE
        found = self.records.lines(range(first, min(first + _AT_ONCE, len(self.records))))
        text = self.vocabulary.encode(line for lines in found for line in lines)
        return _Part(
            text.tokens,
            np.diff(text.line_ends, prepend=0).astype(np.int32),
            np.array([len(lines) for lines in found], np.int32),
            np.array([text.oov, text.characters]),
        )


def _write(
    folder: Path, records: TextRecords, vocabulary: Vocabulary, workers: int, progress: Callable[[int], object]
) -> None:
    """Read everything once, and write what `_load` reads."""
    parts = _Parts(records, vocabulary)
    hasher, totals, counts = hashlib.sha256(), np.zeros(2, np.int64), np.zeros(vocabulary.size, np.int64)
    line_lengths, record_lines = [], []
    pipeline = Pipeline(parts, 0, workers if len(parts) >= _WORTH_WORKERS else 0)
    try:
        for part in pipeline:
            hasher.update(np.ascontiguousarray(part.tokens, "<i4").data)
            counts += np.bincount(part.tokens, minlength=vocabulary.size)
            totals += part.totals
            line_lengths.append(np.array(part.line_lengths))
            record_lines.append(np.array(part.record_lines))
            progress(part.tokens.size)
    finally:
        pipeline.close()
    line_ends = np.cumsum(np.concatenate(line_lengths or [np.zeros(0, np.int32)]), dtype=np.int64)
    lines = np.concatenate([np.zeros(1, np.int32), *record_lines])
    arrays = {"line_ends": line_ends, "counts": counts}
    if (lines[1:] != 1).any():
        arrays["record_lines"] = np.cumsum(lines, dtype=np.int64)
    about: dict[str, Any] = {
        "format": _FORMAT,
        "tokens": int(counts.sum()),
        "lines": line_ends.size,
        "records": lines.size - 1,
        "oov": int(totals[0]),
        "characters": int(totals[1]),
        "digest": text_digest(hasher.hexdigest(), line_ends, int(totals[0]), int(totals[1])),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    about["files"] = {name: _file_digest(folder / f"{name}.npy") for name in arrays}
    (folder / "about.json").write_text(json.dumps(about) + "\n")


def _load(folder: Path) -> RecordIndex | None:
    """Return the index in a folder; None if there is none, or it is not as it was written."""
    try:
        about = json.loads((folder / "about.json").read_text())
        files, known = about.pop("files"), about.pop("format") == _FORMAT
        if not known or any(_file_digest(folder / f"{name}.npy") != digest for name, digest in files.items()):
            return None
        return RecordIndex(folder, **about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
