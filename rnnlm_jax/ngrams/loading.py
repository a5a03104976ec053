"""Opening a model of counts from a file, whatever wrote it."""

from pathlib import Path
from typing import Any

from rnnlm_jax.errors import UserError
from rnnlm_jax.ngrams.arpa_reading import is_arpa, read_arpa
from rnnlm_jax.ngrams.model_file import MAGIC, read_model


def load(path: str | Path) -> Any:
    """Read a model file of any registered kind, or an ARPA file, plain or compressed.

    Returns:
        a model with ``vocabulary``, ``policy``, ``parameter_count``, ``describe`` and ``token_nats``.

    Raises:
        UserError: there is no such file, it is damaged, or it holds no model.
    """
    try:
        with Path(path).open("rb") as file:
            beginning = file.read(len(MAGIC))
    except FileNotFoundError:
        raise UserError(f"there is no model file {path}: check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give the path of a model file") from None
    if beginning == MAGIC:
        return read_model(path)
    if is_arpa(path):
        return read_arpa(path)
    raise UserError(f"{path} is neither a model file that rnnlm-jax ngram train wrote nor an ARPA file")
