"""N-gram models and unigram caches as scorers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.evaluation.comparison.scorer import ModelInfo
from rnnlm_jax.ngrams import CountModel, UnigramCache, load
from rnnlm_jax.system.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class CountedModel:
    """N-gram model or unigram cache with a name."""

    name: str
    model: CountModel
    info: ModelInfo

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's vocabulary."""
        return self.model.vocabulary

    @property
    def policy(self) -> str:
        """The model's policy."""
        return self.model.policy

    @property
    def parameter_count(self) -> int:
        """Number of n-grams or features."""
        return self.model.parameter_count

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "N"]:
        """Return ``-ln P`` of every token in nats."""
        return self.model.token_nll(text, progress)


def open_counted_model(path: str | Path, name: str) -> CountedModel:
    """Open a model file.

    Raises:
        DataError: if the file is missing or damaged, or does not hold an n-gram model.
    """
    return _named(load(path), name)


def unigram_cache(vocabulary: Vocabulary, name: str = "cache") -> CountedModel:
    """Return a unigram cache: relative frequencies in the text so far, weighted by recency, to be used in mixtures."""
    return _named(UnigramCache(vocabulary), name)


def _named(model: CountModel, name: str) -> CountedModel:
    return CountedModel(name, model, ModelInfo(model.describe().split(";")[0]))
