"""Files of n-gram models: arrays, vocabulary and digests, and a registry of model kinds.

A file is an uncompressed ``.npz`` of the arrays and ``header``: JSON with the format, the kind, the vocabulary, further
attributes of the model, and the SHA-256 of each array. A module that defines a kind registers a reader:

    @model_reader("snm")
    def _read(stored: StoredModel) -> SnmModel: ...

and must be imported by ``rnnlm_jax.ngrams``.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import DataError, UserError
from rnnlm_jax.system.atomic_write import written_whole
from rnnlm_jax.system.input_files import as_data_errors

FORMAT = "rnnlm_jax model of counts 1"
#: First bytes of a model file: those of a zip archive.
MAGIC = b"PK\x03\x04"
#: Errors of NumPy for a damaged archive: in an array's header or JSON, the archive or its checksums, a truncated file,
#: a name, and a flag for compression or encryption.
_UNREADABLE = (ValueError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError)


class StoredModel(NamedTuple):
    """The content of a file, with digests verified."""

    kind: str
    vocabulary: Vocabulary
    about: dict[str, Any]
    """Attributes of the model besides arrays, from JSON."""
    arrays: dict[str, np.ndarray]


Reader = TypeVar("Reader", bound=Callable[[StoredModel], Any])

_READERS: dict[str, Callable[[StoredModel], Any]] = {}


def model_reader(kind: str) -> Callable[[Reader], Reader]:
    """Register the decorated function, which makes a model from the content of a file of this kind."""

    def register(function: Reader) -> Reader:
        _READERS[kind] = function
        return function

    return register


def write_model(
    path: str | Path, kind: str, vocabulary: Vocabulary, *, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a model to one file atomically.

    Args:
        path: the file; parent folders are created.
        kind: kind of the model, for which a reader is registered.
        vocabulary: vocabulary of the model.
        about: further attributes, as JSON.
        arrays: arrays by name; the name ``header`` is reserved.
    """
    header = {
        "format": FORMAT,
        "kind": kind,
        "vocabulary": {
            "level": vocabulary.level,
            "unk": vocabulary.unk,
            "eos": vocabulary.eos,
            "tokens": vocabulary.tokens,
            "sha256": vocabulary.content_hash,
            **vocabulary.tokenizer_entry,
        },
        "about": dict(about),
        "sha256": {name: _digest(array) for name, array in arrays.items()},
    }
    text = json.dumps(header, allow_nan=False).encode("ascii")
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, header=np.frombuffer(text, np.uint8), **arrays)


def read_model(file: BinaryIO, path: str) -> Any:
    """Read a model of any registered kind from an open file; ``path`` is its name in error messages.

    Raises:
        DataError: the file is damaged, or not a model file of this library.
    """
    stored = read_stored(file, path)
    if stored.kind not in _READERS:
        raise DataError(f"{path} holds a model of kind {stored.kind!r}, which this version cannot read: train it again")
    try:
        return _READERS[stored.kind](stored)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path} lacks a part of its model ({error}): train it again") from error


def read_stored(file: BinaryIO, path: str) -> StoredModel:
    """Read the content of an open file and verify every digest; ``path`` is its name in error messages.

    Raises:
        DataError: the file is damaged, or not a model file of this library.
    """
    corrupt = DataError(f"the model file {path} is damaged (its content does not fit its digests): train it again")
    with as_data_errors(path):  # an archive is read from its end, so a compressed file is unpacked as a whole
        whole = file if isinstance(getattr(file, "raw", None), io.FileIO) else io.BytesIO(file.read())
    try:
        with np.load(whole, allow_pickle=False) as found:
            if not isinstance(found, np.lib.npyio.NpzFile) or "header" not in found.files:
                raise DataError(f"{path} is not a model file of this library: give one of rnnlm-jax ngram train")
            header = json.loads(found["header"].tobytes())
            arrays = {name: found[name] for name in found.files if name != "header"}
    except UserError:
        raise
    except _UNREADABLE as error:
        raise corrupt from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path} is not a model file of this version: train it again")
    try:
        if header["sha256"] != {name: _digest(array) for name, array in arrays.items()}:
            raise corrupt
        stored = header["vocabulary"]
        tokens, tokenizer = tuple(stored["tokens"]), stored.get("tokenizer")
        vocabulary = Vocabulary(stored["level"], tokens, stored["unk"], stored["eos"], tokenizer)
        if vocabulary.content_hash != stored["sha256"]:
            raise corrupt
        return StoredModel(header["kind"], vocabulary, header["about"], arrays)
    except (KeyError, TypeError, UserError):
        raise corrupt from None


def _digest(array: np.ndarray) -> str:
    about = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(about + np.ascontiguousarray(array).data).hexdigest()
