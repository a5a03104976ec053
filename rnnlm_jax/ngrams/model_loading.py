"""Opening a model of counts from a file, whatever wrote it."""

from pathlib import Path
from typing import Any

from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.arpa_reading import arpa_model, is_arpa
from rnnlm_jax.ngrams.model_file import MAGIC, read_model
from rnnlm_jax.system.input_files import as_data_errors, open_input


def load(path: str | Path) -> Any:
    """Read a model file of any registered kind, or an ARPA file, plain or compressed.

    Returns:
        a model with ``vocabulary``, ``policy``, ``parameter_count``, ``describe`` and ``token_nats``.

    Raises:
        DataError: there is no such file, it is damaged, or it holds no model.
    """
    with open_input(path, "model file") as file:
        with as_data_errors(path):
            beginning = file.peek()
        if beginning.startswith(MAGIC):
            return read_model(file, str(path))
        if is_arpa(beginning):
            return arpa_model(file, str(path))
    raise DataError(f"{path} is neither a model file that rnnlm-jax ngram train wrote nor an ARPA file")
