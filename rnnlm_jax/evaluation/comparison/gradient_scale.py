"""How large each parameter's gradient is over the training text: what the rms rule of dynamic evaluation divides by."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Batch, EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import mean_gradient
from rnnlm_jax.evaluation.comparison.scorer import Progress, silent
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams

#: Streams side by side, as in the authors' program: the rates that are published belong to it.
STREAMS = 100


def gradient_scale(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    segment: int,
    most_batches: int | None = None,
    progress: Progress = silent,
) -> LanguageModelParams:
    """``s = √(1/M Σ_m g_m²)`` for every parameter, over the M batches of a text (Krause et al. 2018, section 4).

    ``g_m`` is the gradient of the mean nats of batch m: ``segment`` tokens of each of 100 streams (or of fewer, in a
    text too short for that), the state carried from batch to batch.

    Args:
        model: the model.
        params: the trained parameters.
        text: what they were trained on.
        vocabulary: for the token before the first one.
        segment: tokens of a stream in a batch, as in dynamic evaluation.
        most_batches: stop after this many.
        progress: told the number of tokens read since its last call.
    """
    streams = max(1, min(STREAMS, len(text) // segment))
    batches = StreamBatches(text.tokens, streams, segment, first_input=vocabulary.start_id)
    count = len(batches) if most_batches is None else min(most_batches, len(batches))
    add = _adder(model)
    squares, state = jax.tree.map(jnp.zeros_like, params), model.initial_state((streams,))
    for number in range(count):
        batch = batches[number]
        squares, state = add(squares, state, params, batch)
        if number % 16 == 15:
            jax.block_until_ready(state)  # so that the bar tells what is done, not what is asked for
        progress(int(batch.mask.sum()))
    return _root_mean(squares, count)


@functools.lru_cache(maxsize=8)
def _adder(model: LanguageModel) -> Callable[..., tuple[Any, Tree]]:
    """``(squares, state, params, batch) -> (squares, state)``, compiled."""

    def add(squares: Any, state: Tree, params: LanguageModelParams, batch: Batch) -> tuple[Any, Tree]:
        gradient = mean_gradient(model, params, state, batch)
        after, _ = model.hidden(params, state, jnp.asarray(batch.inputs), None)
        return jax.tree.map(lambda total, g: total + g * g, squares, gradient), after

    return jit(add, donate_argnums=(0, 1))


@jit
def _root_mean(squares: Any, count: int) -> Any:
    """Of sums over so many."""
    return jax.tree.map(lambda total: jnp.sqrt(total / jnp.asarray(count, total.dtype)), squares)
