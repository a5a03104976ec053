"""Perplexity with a context of k words: how much of the past a language model uses.

Khandelwal et al. 2018, "Sharp Nearby, Fuzzy Far Away: How Neural Language Models Use Context", section 4.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.horizons.positions import evenly_spaced, position_batches
from rnnlm_jax.evaluation.sentence_scores import score_sentences
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import Progress, no_progress

#: Context lengths, in words.
CONTEXTS = (1, 2, 5, 7, 10, 20, 50, 100, 200, 500)
#: Positions scored at a time.
BATCH_SIZE = 100


class InformationDecay(NamedTuple):
    """Mean nats per token of the same tokens with each of K context lengths."""

    contexts: Int[np.ndarray, "K"]
    nll: Float[np.ndarray, "K"]
    standard_errors: Float[np.ndarray, "K"]
    """Standard errors of ``nll``, with tokens taken as independent, since they are far apart in the text."""
    full_nll: float
    """With the full context, from the beginning of the text."""
    full_standard_error: float
    tokens: int


def information_decay(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    count: int,
    contexts: Sequence[int] = CONTEXTS,
    progress: Progress = no_progress,
) -> InformationDecay:
    """Return the mean of ``-ln P(w_i | w_{i-k} … w_{i-1})`` over the same tokens, each read from the initial state.

    Args:
        model: language model.
        params: its parameters.
        text: text.
        vocabulary: gives the input before the first token.
        count: number of tokens, evenly spaced over the part of the text that has the longest context.
        contexts: values of k; those as long as the text are left out.
        progress: called with the number of tokens read since its last call.

    Raises:
        DataError: if the text is not longer than the shortest context, or is of another vocabulary.
    """
    text.require_ids_below(model.vocab_size)
    lengths = [k for k in sorted(set(contexts)) if k < len(text)]
    if not lengths:
        raise DataError(f"a text of {len(text):,} tokens is too short for any context: give more text")
    longest = max(lengths)
    positions = evenly_spaced(text.tokens, start_id=vocabulary.start_id, steps=longest, count=count)
    tokens = positions.targets.size
    batches = position_batches(positions, min(BATCH_SIZE, tokens))
    score, rows = _scoring_function(model), []
    for k in lengths:
        parts = []
        for batch in batches:
            nll = np.asarray(score(params, batch.inputs[longest - k :], batch.targets), np.float64)
            parts.append(nll)
            progress(k * nll.size)
        rows.append(np.concatenate(parts)[:tokens])
    with_full_context = score_sentences(model, params, text, vocabulary, carry_state=True)
    rows.append(np.concatenate(with_full_context)[positions.indices])
    progress(len(text))
    means, errors = zip(*map(_mean_and_error, rows), strict=True)
    return InformationDecay(
        contexts=np.array(lengths),
        nll=np.array(means[:-1]),
        standard_errors=np.array(errors[:-1]),
        full_nll=means[-1],
        full_standard_error=errors[-1],
        tokens=tokens,
    )


def _mean_and_error(nll: np.ndarray) -> tuple[float, float]:
    """Return the mean and its standard error, which is infinite for a single number."""
    error = float(np.std(nll, ddof=1)) / math.sqrt(nll.size) if nll.size > 1 else math.inf
    return math.fsum(nll) / nll.size, error


@functools.lru_cache(maxsize=8)
def _scoring_function(model: LanguageModel) -> Callable[..., Array]:
    """Compile ``(params, inputs[T, B], targets[B]) -> nll[B]``, with the inputs read from the initial state."""

    def score(params: LanguageModelParams, inputs: Array, targets: Array) -> Array:
        _, hs = model.hidden(params, model.initial_state(targets.shape), jnp.asarray(inputs), None)
        return model.output_nats(params, hs[-1], jnp.asarray(targets))

    return jit(score)
