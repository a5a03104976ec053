"""Scores of single sentences, each read from the model's initial state or as part of one continuous text."""

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.evaluation.perplexity import scoring_function, steps_per_call
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams

#: Sentences side by side, and the length in tokens beyond which each is read on its own.
BATCH, LONG = 64, 4096


def score_sentences(
    model: LanguageModel, params: LanguageModelParams, text: EncodedText, vocabulary: Vocabulary, carry: bool = False
) -> list[np.ndarray]:
    """``-log P`` of each token of each sentence, in nats: one float64 array a line of the text, in its order.

    Args:
        model: the model.
        params: its parameters.
        text: the text, one sentence a line.
        vocabulary: for the token before each sentence.
        carry: read the text as one stream, each sentence in the context of all before it; otherwise each stands alone.

    Raises:
        UserError: if the text is of another vocabulary.
    """
    text.require_ids_below(model.vocab_size)
    if carry:
        return np.split(_alone(model, params, [text.tokens], vocabulary)[0], text.line_ends[:-1])
    return _alone(model, params, list(text.lines()), vocabulary)


def _alone(
    model: LanguageModel, params: LanguageModelParams, lines: list[np.ndarray], vocabulary: Vocabulary
) -> list[np.ndarray]:
    """Each line from initial state, in groups of like length so that little is padding."""
    scores = [np.zeros(line.size) for line in lines]
    order = sorted((i for i, line in enumerate(lines) if line.size), key=lambda i: lines[i].size)
    short = [i for i in order if lines[i].size <= LONG]
    groups = [short[first : first + BATCH] for first in range(0, len(short), BATCH)]
    for group in groups + [[i] for i in order[len(short) :]]:
        nats = _group(model, params, [lines[i] for i in group], vocabulary)
        for row, i in enumerate(group):
            scores[i] = nats[: lines[i].size, row]
    return scores


def _group(
    model: LanguageModel, params: LanguageModelParams, lines: list[np.ndarray], vocabulary: Vocabulary
) -> np.ndarray:
    """Nats ``[T, B]`` of lines side by side, T the longest's length rounded up; what is beyond a line means nothing."""
    # A full batch always, but for one long line alone: few shapes to compile.
    width = BATCH if len(lines) > 1 else 1
    longest = max(line.size for line in lines)
    window = min(steps_per_call(model, width), 2 ** max(4, (longest - 1).bit_length()))
    steps = -(-longest // window) * window
    targets = np.zeros((steps, width), np.int32)
    inputs = np.full((steps, width), vocabulary.start_id, np.int32)
    for row, line in enumerate(lines):
        targets[: line.size, row] = line
        inputs[1 : line.size, row] = line[:-1]
    score = scoring_function(model)
    state, parts = model.initial_state((width,)), []
    for start in range(0, steps, window):
        stop = start + window
        state, nats = score(params, state, jnp.asarray(inputs[start:stop]), jnp.asarray(targets[start:stop]))
        parts.append(np.asarray(nats, np.float64))
    return np.concatenate(parts)
