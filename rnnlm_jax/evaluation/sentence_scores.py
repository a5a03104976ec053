"""Scores of single sentences, each read from the model's initial state or as part of one continuous text."""

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.evaluation.perplexity import scoring_function, steps_per_call
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams

#: Sentences scored side by side, and the length in tokens above which a sentence is scored alone.
BATCH_SIZE, LONG_SENTENCE = 64, 4096


def score_sentences(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    carry_state: bool = False,
) -> list[np.ndarray]:
    """Return ``-ln P`` of each token of each sentence in nats: a list of float64 arrays, one for each line of the text.

    Args:
        model: language model.
        params: its parameters.
        text: text with one sentence per line.
        vocabulary: gives the input before each sentence.
        carry_state: read the text as one stream, each sentence after all sentences before it; otherwise each sentence
            is read from the initial state.

    Raises:
        DataError: if the text is of another vocabulary.
    """
    text.require_ids_below(model.vocab_size)
    if carry_state:
        return np.split(_score_from_initial_state(model, params, [text.tokens], vocabulary)[0], text.line_ends[:-1])
    return _score_from_initial_state(model, params, list(text.lines()), vocabulary)


def _score_from_initial_state(
    model: LanguageModel, params: LanguageModelParams, lines: list[np.ndarray], vocabulary: Vocabulary
) -> list[np.ndarray]:
    """Score lines in groups of similar length, so that there is little padding."""
    scores = [np.zeros(line.size) for line in lines]
    order = sorted((i for i, line in enumerate(lines) if line.size), key=lambda i: lines[i].size)
    short = [i for i in order if lines[i].size <= LONG_SENTENCE]
    groups = [short[first : first + BATCH_SIZE] for first in range(0, len(short), BATCH_SIZE)]
    for group in groups + [[i] for i in order[len(short) :]]:
        nll = _score_group(model, params, [lines[i] for i in group], vocabulary)
        for column, i in enumerate(group):
            scores[i] = nll[: lines[i].size, column]
    return scores


def _score_group(
    model: LanguageModel, params: LanguageModelParams, lines: list[np.ndarray], vocabulary: Vocabulary
) -> Float[np.ndarray, "T B"]:
    """Return the nats of lines side by side; T is the longest length rounded up, values after a line end are unset."""
    # Every batch but a single long line has full width: few shapes to compile.
    width = BATCH_SIZE if len(lines) > 1 else 1
    longest = max(line.size for line in lines)
    chunk = min(steps_per_call(model, width), 2 ** max(4, (longest - 1).bit_length()))
    steps = -(-longest // chunk) * chunk
    targets = np.zeros((steps, width), np.int32)
    inputs = np.full((steps, width), vocabulary.start_id, np.int32)
    for column, line in enumerate(lines):
        targets[: line.size, column] = line
        inputs[1 : line.size, column] = line[:-1]
    score = scoring_function(model)
    state, parts = model.initial_state((width,)), []
    for start in range(0, steps, chunk):
        stop = start + chunk
        state, nll = score(params, state, jnp.asarray(inputs[start:stop]), jnp.asarray(targets[start:stop]))
        parts.append(np.asarray(nll, np.float64))
    return np.concatenate(parts)
