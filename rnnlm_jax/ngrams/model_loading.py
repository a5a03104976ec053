"""Opening an n-gram model from a file of any supported format."""

from pathlib import Path
from typing import Protocol

import numpy as np

from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.arpa_reading import is_arpa, parse_arpa
from rnnlm_jax.ngrams.model_file import MAGIC, read_model
from rnnlm_jax.system.input_files import as_data_errors, open_input


class CountModel(Protocol):
    """A model of counts: a backoff model, a sparse non-negative matrix, or a cache."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that texts must be encoded by."""
        ...

    @property
    def policy(self) -> str:
        """The tokens that are scored, in one line; perplexities are comparable only if it is the same."""
        ...

    @property
    def parameter_count(self) -> int:
        """The number of n-grams, or of entries."""
        ...

    def describe(self) -> str:
        """Return a description in one line; its first part, up to a semicolon, names the kind of model."""
        ...

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> np.ndarray:
        """Return ``−ln P`` of each token of a text in nats, float64 ``[N]``."""
        ...


def load(path: str | Path) -> CountModel:
    """Read a model file of any registered kind, or an ARPA file, plain or compressed.

    Raises:
        DataError: the file cannot be read, is damaged, or is not a model.
    """
    with open_input(path, "model file") as file:
        with as_data_errors(path):
            beginning = file.peek()
        if beginning.startswith(MAGIC):
            return read_model(file, str(path))
        if is_arpa(beginning):
            return parse_arpa(file, str(path))
    raise DataError(f"{path} is neither a model file that rnnlm-jax ngram train wrote nor an ARPA file")
