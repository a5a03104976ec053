"""Arrays in safetensors files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, load_file, save_file

from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop.weights.named_arrays import flatten
from rnnlm_jax.system.atomic_write import atomic_write
from rnnlm_jax.system.input_files import as_data_errors, is_uncompressed_file, read_input

_WHAT = "safetensors file"


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file by name; it may be compressed with gzip, or a pipe.

    Raises:
        UserError: if the file does not exist or cannot be read.
        WeightsError: if it is damaged or not a safetensors file.
    """
    return read_tensors(path)[0]


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a safetensors file by name, and the metadata of its header.

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
        raise WeightsError(f"{path} is not a safetensors file, or cut off ({error}): write or copy it again") from error


def write_safetensors(path: str | Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays, nested or not, by path; the file is written completely or not at all.

    Args:
        path: the file; missing folders above it are created.
        arrays: by name.
        metadata: strings by name, for the header.

    Raises:
        WeightsError: if it cannot be written, a leaf is not an array of numbers, or metadata are not strings.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in flatten(arrays).items()}
    for name, text in (metadata or {}).items():
        if not isinstance(text, str):
            raise WeightsError(f"`metadata` {name!r} is a {type(text).__name__}: give a string")
    try:
        with atomic_write(path) as temporary:
            save_file(contiguous, temporary, None if metadata is None else dict(metadata))
            temporary.chmod(0o644)  # safetensors makes it private
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{path} cannot be written ({reason}): choose another path, or free some space") from error
