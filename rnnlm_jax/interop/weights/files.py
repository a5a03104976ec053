"""Arrays in safetensors files, with one line for each thing that may be wrong with one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, load_file, save_file

from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights.arrays import flatten
from rnnlm_jax.system.atomic_write import written_whole
from rnnlm_jax.system.input_files import as_data_errors, is_uncompressed_file, read_input

_WHAT = "safetensors file"


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name; it may be compressed with gzip, or a pipe.

    Raises:
        UserError: if there is no such file, it cannot be read, or it is damaged or no safetensors file.
    """
    return read_tensors(path)[0]


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, and the texts of its header.

    Raises:
        UserError: as ``read_safetensors``.
    """
    try:
        if not is_uncompressed_file(path, _WHAT):
            content = read_input(path, _WHAT)
            arrays = load(content)
            header = content[8 : 8 + int.from_bytes(content[:8], "little")]
            return arrays, dict(json.loads(header).get("__metadata__") or {})
        with as_data_errors(path, _WHAT), safe_open(path, framework="np") as file:
            return load_file(path), dict(file.metadata() or {})
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file, or cut off ({error}): write or copy it again") from error


def write_safetensors(path: str | Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays, nested or not, under their paths as names; the file is there whole or not at all.

    Args:
        path: the file; folders above it are made.
        arrays: by name.
        metadata: texts by name, for the header.

    Raises:
        UserError: if it cannot be written, a leaf is no array of numbers, or metadata are no texts.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in flatten(arrays).items()}
    wrong = next((name for name, text in (metadata or {}).items() if not isinstance(text, str)), None)
    if wrong is not None:
        raise UserError(f"metadata {wrong!r} is a {type((metadata or {})[wrong]).__name__}: give a text")
    try:
        with written_whole(path) as temporary:
            save_file(contiguous, temporary, None if metadata is None else dict(metadata))
            temporary.chmod(0o644)  # safetensors makes it private
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be written ({reason}): choose another place, or free some") from error
