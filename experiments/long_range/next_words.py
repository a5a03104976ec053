"""The most probable next words of a model after a beginning of a sentence."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.compilation import jit
from rnnlm_jax.evaluation.comparison import CountedModel, Scorer, TrainedRun
from rnnlm_jax.evaluation.minimal_pairs import text_rules
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.ngrams import NgramModel

#: Number of words listed.
TOP = 10


def next_word_log_probs(scorer: Scorer, ids: list[int]) -> Float[np.ndarray, " V"]:
    """Return ``ln P(w | ids)`` of every word, read from the initial state after an end of line.

    Args:
        scorer: a trained run or an n-gram model.
        ids: tokens to read.
    """
    inputs = [scorer.vocabulary.start_id, *ids]
    if isinstance(scorer, TrainedRun):
        model, params, step = scorer.run.model, scorer.run.params, _step(scorer.run.model)
        state, log_probs = model.initial_state(()), None
        for token in inputs:
            state, log_probs = step(params, state, jnp.asarray(token, jnp.int32))
        return np.asarray(log_probs, np.float64)
    assert isinstance(scorer, CountedModel), scorer
    assert isinstance(scorer.model, NgramModel), scorer.model
    state, log_probs = scorer.model.initial_state(()), None
    for token in inputs:
        state, log_probs = scorer.model.log_probs(state, token)
    return np.asarray(log_probs, np.float64)


@functools.lru_cache(maxsize=8)
def _step(model: LanguageModel) -> Any:
    """Compile the step of a model once."""
    return jit(model.log_probs)


def next_words(scorer: Scorer, context: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Return the ``TOP`` most probable next words, and the probability and rank of wanted ones.

    Args:
        scorer: a trained run or an n-gram model with a vocabulary of words.
        context: the beginning of a sentence, which is written as the vocabulary has it.
        wanted: words whose probabilities are asked for; None stands for those of a word that the vocabulary lacks.
    """
    vocabulary = scorer.vocabulary
    ids = vocabulary.encode_line(text_rules(vocabulary)(context))
    log_probs = next_word_log_probs(scorer, ids)
    order = np.argsort(-log_probs, kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(1, order.size + 1)

    def figures(word: str) -> dict[str, Any]:
        index = vocabulary.index.get(word)
        known = index is not None
        return {
            "word": word,
            "probability": float(np.exp(log_probs[index])) if known else None,
            "rank": int(rank[index]) if known else None,
        }

    return {
        "context": context,
        "read": " ".join(vocabulary.tokens[i] for i in ids),
        "top": [figures(vocabulary.tokens[i]) for i in order[:TOP].tolist()],
        "wanted": [figures(word) for word in wanted],
    }
