"""The file of a model of counts: arrays, the vocabulary and a digest of everything, and a registry of kinds.

A file is an uncompressed ``.npz``: the arrays by name, and ``header``, JSON of the format, the kind, the vocabulary,
what else the kind keeps, and the SHA-256 of each array. A module that has a kind of its own registers a reader:

    @reader("snm")
    def _read(stored: StoredModel) -> SnmModel: ...

and is imported by ``rnnlm_jax.ngrams``.
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
from rnnlm_jax.errors import UserError
from rnnlm_jax.system.atomic_write import atomic_write
from rnnlm_jax.system.input_files import told_errors

FORMAT = "rnnlm_jax model of counts 1"
#: How a file of ours begins: it is a zip archive.
MAGIC = b"PK\x03\x04"
#: What NumPy raises of an archive with changed bytes: of an array's header or JSON, of the archive or one of its
#: sums, of an end too early, of a name, and of a flag that says it is compressed or encrypted in another way.
_UNREADABLE = (ValueError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError)


class StoredModel(NamedTuple):
    """What a file holds, digests verified."""

    kind: str
    vocabulary: Vocabulary
    about: dict[str, Any]
    """What the kind keeps besides arrays, as JSON."""
    arrays: dict[str, np.ndarray]


Reader = TypeVar("Reader", bound=Callable[[StoredModel], Any])

_READERS: dict[str, Callable[[StoredModel], Any]] = {}


def reader(kind: str) -> Callable[[Reader], Reader]:
    """Register a function that makes a model of what a file of this kind holds."""

    def register(function: Reader) -> Reader:
        _READERS[kind] = function
        return function

    return register


def write_model(
    path: str | Path, kind: str, vocabulary: Vocabulary, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a model to one file, the whole of it or nothing.

    Args:
        path: the file; folders above it are made.
        kind: which registered reader makes a model of it again.
        vocabulary: of the model.
        about: what else to keep, as JSON.
        arrays: by name; any name but ``header``.
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
            **vocabulary.rules,
        },
        "about": dict(about),
        "sha256": {name: _digest(array) for name, array in arrays.items()},
    }
    text = json.dumps(header, allow_nan=False).encode("ascii")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, header=np.frombuffer(text, np.uint8), **arrays)


def read_model(file: BinaryIO, path: str) -> Any:
    """Read a model of any registered kind from an open file; errors call it ``path``.

    Raises:
        UserError: it is damaged, or it is none of ours.
    """
    stored = read_stored(file, path)
    if stored.kind not in _READERS:
        raise UserError(f"{path} holds a model of kind {stored.kind!r}, which this version cannot read: train it anew")
    try:
        return _READERS[stored.kind](stored)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} lacks a part of its model ({error}): train it anew") from error


def read_stored(file: BinaryIO, path: str) -> StoredModel:
    """Read what an open file holds, and check every digest; errors call it ``path``.

    Raises:
        UserError: it is damaged, or it is none of ours.
    """
    corrupt = UserError(f"the model file {path} is damaged (its content does not fit its digests): train it anew")
    with told_errors(path):  # an archive is read from its end: what is compressed is unpacked as a whole
        whole = file if isinstance(getattr(file, "raw", None), io.FileIO) else io.BytesIO(file.read())
    try:
        with np.load(whole, allow_pickle=False) as found:
            if not isinstance(found, np.lib.npyio.NpzFile) or "header" not in found.files:
                raise UserError(f"{path} is no model file of this library: give one that rnnlm-jax ngram train wrote")
            header = json.loads(found["header"].tobytes())
            arrays = {name: found[name] for name in found.files if name != "header"}
    except UserError:
        raise
    except _UNREADABLE as error:
        raise corrupt from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UserError(f"{path} is not a model file of this version: train it anew")
    try:
        if header["sha256"] != {name: _digest(array) for name, array in arrays.items()}:
            raise corrupt
        words = header["vocabulary"]
        rules = words.get("tokenizer")
        vocabulary = Vocabulary(words["level"], tuple(words["tokens"]), words["unk"], words["eos"], rules)
        if vocabulary.content_hash != words["sha256"]:
            raise corrupt
        return StoredModel(header["kind"], vocabulary, header["about"], arrays)
    except (KeyError, TypeError, UserError):
        raise corrupt from None


def _digest(array: np.ndarray) -> str:
    about = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(about + np.ascontiguousarray(array).data).hexdigest()
