"""What a language model loses when it may read the last k words only: how much of its past it uses.

Khandelwal et al. 2018, "Sharp Nearby, Fuzzy Far Away: How Neural Language Models Use Context", section 4.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.horizons import positions as places
from rnnlm_jax.evaluation.sentence_scores import score_sentences
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams

#: Context lengths, in words.
CONTEXTS = (1, 2, 5, 7, 10, 20, 50, 100, 200, 500)

#: Places scored at a time.
BATCH = 100


class InformationDecay(NamedTuple):
    """Mean nats a token, of the same tokens whatever the context."""

    contexts: np.ndarray  # int [K]
    nats: np.ndarray  # float64 [K]
    standard_errors: np.ndarray  # float64 [K]
    """Of ``nats``, from the scatter over the tokens: they stand far apart in the text."""
    full_nats: float
    """With everything read from the beginning of the text."""
    full_standard_error: float
    tokens: int


def information_decay(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    count: int,
    contexts: Sequence[int] = CONTEXTS,
    progress: Callable[[int], object] = lambda tokens: None,
) -> InformationDecay:
    """Mean nats of the same tokens with contexts of k words, ``-ln P(w_i | w_{i-k} … w_{i-1})`` from initial state.

    Args:
        model: the model.
        params: its parameters.
        text: the text.
        vocabulary: for the token before the first.
        count: how many tokens, evenly spaced over the text, none of them without the longest context.
        contexts: values of k; those as long as the text are left out.
        progress: told the number of tokens read since its last call.

    Raises:
        UserError: if the text is as short as the shortest context, or of another vocabulary.
    """
    text.require_ids_below(model.vocab_size)
    possible = [k for k in sorted(set(contexts)) if k < len(text)]
    if not possible:
        raise UserError(f"a text of {len(text):,} tokens is too short for any context: give more text")
    longest = max(possible)
    chosen = places.evenly(text.tokens, vocabulary.start_id, longest, count)
    tokens = chosen.targets.size
    batches = places.batches(chosen, min(BATCH, tokens))
    score, rows = _score(model), []
    for k in possible:
        parts = []
        for batch in batches:
            nats = np.asarray(score(params, batch.inputs[longest - k :], batch.targets), np.float64)
            parts.append(nats)
            progress(k * nats.size)
        rows.append(np.concatenate(parts)[:tokens])
    rows.append(np.concatenate(score_sentences(model, params, text, vocabulary, carry=True))[chosen.indices])
    progress(len(text))
    means, errors = zip(*map(_mean_and_error, rows), strict=True)
    return InformationDecay(
        contexts=np.array(possible),
        nats=np.array(means[:-1]),
        standard_errors=np.array(errors[:-1]),
        full_nats=means[-1],
        full_standard_error=errors[-1],
        tokens=tokens,
    )


def _mean_and_error(nats: np.ndarray) -> tuple[float, float]:
    """The mean, and its standard error, infinite from a single number."""
    error = float(np.std(nats, ddof=1)) / math.sqrt(nats.size) if nats.size > 1 else math.inf
    return math.fsum(nats) / nats.size, error


@functools.lru_cache(maxsize=8)
def _score(model: LanguageModel) -> Callable[..., Array]:
    """Nats of each target after its inputs, from initial state."""

    def score(params: LanguageModelParams, inputs: Array, targets: Array) -> Array:
        _, hs = model.hidden(params, model.initial_state(targets.shape), jnp.asarray(inputs), None)
        return model.output_nats(params, hs[-1], jnp.asarray(targets))

    return jit(score)
