"""Index of the lines of a text among its tokens, made by reading all records once and kept in the cache folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.data.encoded_text import text_digest
from rnnlm_jax.data.records.pipeline import Pipeline
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.errors import DataError, warn
from rnnlm_jax.system.cache_root import cache_root, require_writable
from rnnlm_jax.system.file_lock import single_build
from rnnlm_jax.system.progress import Progress, no_progress

_FORMAT = "rnnlm_jax record index 2"
_RECORDS_PER_PART = 4096
_PARTS_WORTH_WORKERS = 64  # fewer are read faster without workers, which take seconds to start


@dataclass(frozen=True, eq=False)
class RecordIndex:
    """Statistics and offsets of an encoded text; the arrays are memory maps, shared by all processes.

    Attributes:
        folder: folder of the files.
        tokens: number of tokens N.
        lines: number of lines L.
        records: number of records R.
        oov: number of unknown tokens.
        characters: number of characters, newlines included if the vocabulary has an end-of-line token.
        digest: digest of the text, see `text_digest`.
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
        """The count of each type of the vocabulary, int64 `[V]`."""
        return np.load(self.folder / "counts.npy")

    @cached_property
    def _record_lines(self) -> np.ndarray:
        return np.load(self.folder / "record_lines.npy", mmap_mode="r")

    def first_lines(self, records: np.ndarray) -> np.ndarray:
        """Return the first line of each record; for record R it is L."""
        return records if self.lines == self.records else self._record_lines[records]

    def records_of(self, lines: np.ndarray) -> np.ndarray:
        """Return the record of each line."""
        if self.lines == self.records:
            return lines
        return np.searchsorted(self._record_lines, lines, side="right") - 1

    def first_tokens(self, lines: np.ndarray) -> np.ndarray:
        """Return the first token of each line; for line L it is N."""
        return np.where(lines > 0, self.line_ends[lines - 1], 0)

    def lines_of(self, tokens: np.ndarray) -> np.ndarray:
        """Return the line of each token."""
        return np.searchsorted(self.line_ends, tokens, side="right")

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields only; another process maps the files itself."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def open_index(
    records: TextRecords, vocabulary: Vocabulary, workers: int, *, progress: Progress = no_progress
) -> RecordIndex:
    """Return the index of a text from the cache folder; make it if it is missing or damaged.

    Args:
        records: the text.
        vocabulary: vocabulary that encodes the text.
        workers: number of processes that encode.
        progress: called with the number of tokens of each part.

    Raises:
        DataError: the text cannot be read, has an unknown token and the vocabulary has none, or the index cannot be
            written.
    """
    key = hashlib.sha256(json.dumps([_FORMAT, records.identity, vocabulary.content_hash]).encode()).hexdigest()
    folder = cache_root() / "record_indexes" / key[:32]
    found = _load_index(folder)
    if found is not None:
        return found
    try:
        require_writable(folder.parent)
        with single_build(folder.parent, folder.name) as temporary:
            if (found := _load_index(folder)) is not None:  # made by another process meanwhile
                return found
            if folder.exists():
                warn(f"the index of the text in {folder} is damaged: reading the whole text again")
            new = temporary / "index"
            new.mkdir()
            _write_index(new, _Parts(records, vocabulary), workers, progress=progress)
            shutil.rmtree(folder, ignore_errors=True)  # if it is there, it is damaged
            new.rename(folder)
    except OSError as error:
        raise DataError(
            f"the index of the text cannot be written to {folder} ({error.strerror or error}): make room there, or "
            "set RNNLM_JAX_CACHE to another folder"
        ) from error
    found = _load_index(folder)
    if found is None:
        raise DataError(f"the index of the text in {folder} cannot be read back: set RNNLM_JAX_CACHE to another folder")
    return found


class _Part(NamedTuple):
    """Consecutive records, encoded."""

    tokens: np.ndarray  # int32 [n]
    line_lengths: np.ndarray  # int32, tokens in each line
    record_lines: np.ndarray  # int32, lines in each record
    totals: np.ndarray  # int64 [2], numbers of unknown tokens and of characters


@dataclass(frozen=True)
class _Parts:
    """All records in order, in parts of `_RECORDS_PER_PART`."""

    records: TextRecords
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return -(-len(self.records) // _RECORDS_PER_PART)

    def __getitem__(self, index: int) -> _Part:
        first = index * _RECORDS_PER_PART
        found = self.records.lines(range(first, min(first + _RECORDS_PER_PART, len(self.records))))
        text = self.vocabulary.encode(line for lines in found for line in lines)
        return _Part(
            text.tokens,
            np.diff(text.line_ends, prepend=0).astype(np.int32),
            np.array([len(lines) for lines in found], np.int32),
            np.array([text.oov, text.characters]),
        )


def _write_index(folder: Path, parts: _Parts, workers: int, *, progress: Progress) -> None:
    """Read all parts once, and write the files that `_load_index` reads."""
    size = parts.vocabulary.size
    hasher, totals, counts = hashlib.sha256(), np.zeros(2, np.int64), np.zeros(size, np.int64)
    line_lengths, record_lines = [], []
    pipeline = Pipeline(parts, 0, workers if len(parts) >= _PARTS_WORTH_WORKERS else 0)
    try:
        for part in pipeline:
            hasher.update(np.ascontiguousarray(part.tokens, "<i4").data)
            counts += np.bincount(part.tokens, minlength=size)
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
        "digest": text_digest(hasher.hexdigest(), line_ends, int(totals[0]), characters=int(totals[1])),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    about["files"] = {name: _file_digest(folder / f"{name}.npy") for name in arrays}
    (folder / "about.json").write_text(json.dumps(about) + "\n")


def _load_index(folder: Path) -> RecordIndex | None:
    """Return the index in a folder; None if it is missing or damaged."""
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
