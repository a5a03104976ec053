"""Arrays in safetensors files, with one line for each thing that may be wrong with one."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights.arrays import flatten


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name.

    Raises:
        UserError: if there is no such file, it cannot be read, or it is damaged or no safetensors file.
    """
    if not Path(path).exists():
        raise UserError(f"{path} does not exist: give a safetensors file")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file, or cut off ({error}): write or copy it again") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): give a safetensors file") from error


def write_safetensors(path: str | Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays, nested or not, under their paths as names; the file is there whole or not at all.

    Raises:
        UserError: if it cannot be written, or a leaf is no array.
    """
    path = Path(path)
    contiguous = {name: np.asarray(array, order="C") for name, array in flatten(arrays).items()}
    temporary = path.with_name(f".{path.name}.new")
    try:
        save_file(contiguous, temporary, None if metadata is None else dict(metadata))
        temporary.chmod(0o644)  # safetensors makes it private
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be written ({reason}): choose another place, or free some") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
