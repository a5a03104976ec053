"""Files of safetensors with texts in their header."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights import read_safetensors, write_safetensors
from rnnlm_jax.ngrams.whole_file import require_file_name


def write_tensors(path: str | Path, arrays: dict[str, Any], texts: dict[str, str] | None = None) -> None:
    """Write arrays by name, and texts by name beside their shapes; the file is there whole or not at all.

    Raises:
        UserError: if it cannot be written, or ``path`` is a folder or a device.
    """
    require_file_name(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, arrays, texts)


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file of safetensors, and the texts of its header.

    Raises:
        UserError: if there is no such file, or it is none of safetensors, or is cut off.
    """
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder: give a file of safetensors")
    arrays = read_safetensors(path)
    try:
        with safe_open(path, framework="np") as file:
            return arrays, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): write or copy it again") from error
