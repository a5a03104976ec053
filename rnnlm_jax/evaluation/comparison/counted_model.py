"""A model of counts, such as n-grams or a cache, as a scorer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.evaluation.comparison.scorer import About, Progress, silent
from rnnlm_jax.ngrams import UnigramCache, load


@dataclass(frozen=True, eq=False)
class CountedModel:
    """What ``rnnlm_jax.ngrams.load`` gives, or a cache, with a name."""

    name: str
    model: Any
    about: About

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's own."""
        return self.model.vocabulary

    @property
    def policy(self) -> str:
        """Which tokens are scored."""
        return self.model.policy

    @property
    def parameter_count(self) -> int:
        """N-grams, or features."""
        return self.model.parameter_count

    def token_nll(self, text: EncodedText, progress: Progress = silent) -> np.ndarray:
        """``-log P`` of every token, float64 ``[N]``."""
        return self.model.token_nll(text, progress)


def open_counted_model(path: str | Path, name: str) -> CountedModel:
    """A model file.

    Raises:
        UserError: if there is none, it is damaged, or it holds no model.
    """
    model = load(path)
    return CountedModel(name, model, About(model.describe().split(";")[0]))


def unigram_cache(vocabulary: Vocabulary, name: str = "cache") -> CountedModel:
    """The words of the text so far, recent ones weighing more: for mixtures."""
    model = UnigramCache(vocabulary)
    return CountedModel(name, model, About(model.describe().split(";")[0]))
