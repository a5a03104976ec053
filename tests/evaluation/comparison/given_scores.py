"""A scorer with given nats, and a text of given tokens."""

from dataclasses import dataclass, field

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.evaluation import no_progress
from rnnlm_jax.evaluation.comparison import ModelInfo
from tests.training.tiny import vocabulary

WORDS = vocabulary()


@dataclass(frozen=True, eq=False)
class GivenScores:
    """Scorer whose nats of the first N tokens of any text are given."""

    name: str
    nll: np.ndarray
    vocabulary: Vocabulary = WORDS
    info: ModelInfo = field(default_factory=lambda: ModelInfo("numbers"))
    parameter_count: int = 3

    @property
    def policy(self):
        return self.vocabulary.describe()

    def token_nll(self, text, progress=no_progress):
        progress(len(text))
        return self.nll[: len(text)]


def text_of(tokens):
    """A text of one line."""
    tokens = np.asarray(tokens, np.int32)
    return EncodedText(tokens, np.array([tokens.size]), 0, tokens.size)
