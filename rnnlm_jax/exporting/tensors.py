"""Files of safetensors with texts in their header."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights import read_safetensors


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file of safetensors, and the texts of its header.

    Raises:
        UserError: if there is no such file, or it is none of safetensors, or is cut off.
    """
    arrays = read_safetensors(path)
    try:
        with safe_open(path, framework="np") as file:
            return arrays, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): write or copy it again") from error
