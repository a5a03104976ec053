"""Root mean square of each parameter's gradient over the training text, for the rms rule of dynamic evaluation."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Batch, EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import mean_gradient
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import Progress, no_progress

#: Parallel streams, as in the authors' program: the published learning rates depend on this number.
STREAMS = 100
#: Batches between two synchronisations with the device, so that the progress bar shows finished work.
BATCHES_PER_SYNCHRONISATION = 16


def gradient_scale(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    segment: int,
    max_batches: int | None = None,
    progress: Progress = no_progress,
) -> LanguageModelParams:
    """Return ``s = √(1/M Σ_m g_m²)`` for every parameter, over the M batches of a text (Krause et al. 2018, section 4).

    ``g_m`` is the gradient of the mean nats of batch m: ``segment`` tokens of each of 100 streams (or of fewer, if the
    text is too short for that), with the state carried from batch to batch.

    Args:
        model: language model.
        params: trained parameters.
        text: training text.
        vocabulary: gives the input before the first token.
        segment: tokens of each stream in a batch, as in dynamic evaluation.
        max_batches: number of batches to use; None for all.
        progress: called with the number of tokens read since its last call.
    """
    streams = max(1, min(STREAMS, len(text) // segment))
    batches = StreamBatches(text.tokens, streams, segment, first_input=vocabulary.start_id)
    count = len(batches) if max_batches is None else min(max_batches, len(batches))
    add_squares = _add_squares(model)
    squares, state = jax.tree.map(jnp.zeros_like, params), model.initial_state((streams,))
    for number in range(count):
        batch = batches[number]
        squares, state = add_squares(squares, state, params, batch)
        if (number + 1) % BATCHES_PER_SYNCHRONISATION == 0:
            jax.block_until_ready(state)
        progress(int(batch.mask.sum()))
    return _root_mean(squares, count)


@functools.lru_cache(maxsize=8)
def _add_squares(model: LanguageModel) -> Callable[..., tuple[LanguageModelParams, Tree]]:
    """Compile ``(squares, state, params, batch) -> (squares, state)``."""

    def add_squares(
        squares: LanguageModelParams, state: Tree, params: LanguageModelParams, batch: Batch
    ) -> tuple[LanguageModelParams, Tree]:
        gradient = mean_gradient(model, params, state, batch)
        after, _ = model.hidden(params, state, jnp.asarray(batch.inputs), None)
        return jax.tree.map(lambda total, g: total + g * g, squares, gradient), after

    return jit(add_squares, donate_argnums=(0, 1))


@jit
def _root_mean(squares: LanguageModelParams, count: int) -> LanguageModelParams:
    """Return the square root of ``squares / count``."""
    return jax.tree.map(lambda total: jnp.sqrt(total / jnp.asarray(count, total.dtype)), squares)
