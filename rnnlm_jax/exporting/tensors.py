"""Files of safetensors: arrays by name, and texts by name in their header."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnlm_jax.array_types import Array
from rnnlm_jax.errors import UserError
from rnnlm_jax.ngrams.whole_file import written_whole


def write_tensors(path: str | Path, arrays: dict[str, Array], texts: dict[str, str] | None = None) -> None:
    """Write a file of safetensors, whole or not at all.

    Args:
        path: the file.
        arrays: by name.
        texts: by name, kept in the header beside the arrays' shapes.

    Raises:
        UserError: if it cannot be written, or ``path`` is a folder.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with written_whole(path) as temporary:
        try:
            save_file(tensors, temporary, texts)
        except SafetensorError as error:
            raise UserError(f"cannot write {path} ({_reason(error)}): make room, or give another name") from error


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file of safetensors, and the texts of its header.

    Raises:
        UserError: if there is no such file, or it is none of safetensors, or is cut off.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}: give a file of safetensors")
    try:
        with safe_open(path, framework="np") as file:
            names: list[str] = list(file.keys())
            found: dict[str, Any] = {name: file.get_tensor(name) for name in names}
            return found, dict(file.metadata() or {})
    except (SafetensorError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no whole file of safetensors ({_reason(error)}): restore it from a copy, or export it again"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
