"""Norms of the gradient of a language model's loss by lag, at many positions of a text."""

import functools
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data.encoded_text import require_ids_below
from rnnlm_jax.evaluation.horizons.positions import evenly_spaced, position_batches
from rnnlm_jax.jacobians import gradient_by_lag
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import Progress, no_progress
from rnnlm_jax.unroll import unroll

#: Positions processed at a time.
BATCH_SIZE = 50
#: Key of the direct path among the norms of ``norms_function``.
DIRECT_PATH = "direct path"


class GradientDecay(NamedTuple):
    """Natural logs of gradient norms at N positions of a text by lags 0 … L; -inf where a gradient is zero."""

    lags: Int[np.ndarray, "lags"]
    parts: dict[str, np.ndarray]
    """``ln ‖∂J_i/∂h_{i-ℓ}‖`` as "hidden", the same for c as "cell" if the cell has one, and for the embedded words as
    "inputs", ``[N, L+1]`` each; the layers of a stack are concatenated."""
    direct_path: Float[np.ndarray, "N lags"] | None
    """Part of the gradient of the cell state (of the hidden state for a GRU) that flows along the direct path alone,
    from lag 1 on; None for cells without one."""


def gradient_decay(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: Int[np.ndarray, " n"],
    *,
    start_id: int,
    largest_lag: int,
    count: int,
    progress: Progress = no_progress,
) -> GradientDecay:
    """Return ``‖∂J_i/∂s_{i-ℓ}‖`` and ``‖∂J_i/∂x_{i-ℓ}‖`` for the losses of single words, ``J_i = -ln ŷ_i[w_{i+1}]``.

    Before the earliest lag the model reads as many words as there are lags, so that it has left its initial state.

    Args:
        model: language model.
        params: its parameters.
        tokens: text.
        start_id: input before its first token.
        largest_lag: L.
        count: number of positions i, evenly spaced over the text.
        progress: called with the number of tokens read since its last call.

    Raises:
        DataError: if the text is shorter than the largest lag, or of another vocabulary.
    """
    require_ids_below(tokens, model.vocab_size)
    steps = largest_lag + 1
    warm_up = min(steps, max(tokens.size - steps, 0))
    positions = evenly_spaced(tokens, start_id=start_id, steps=warm_up + steps, count=count)
    count = positions.targets.size
    log_norms, batches = norms_function(model, warm_up), []
    for batch in position_batches(positions, min(BATCH_SIZE, count)):
        batches.append(jax.device_get(log_norms(params, batch.inputs, batch.targets)))
        progress(batch.inputs.size)
    parts: dict[str, np.ndarray] = {
        name: np.concatenate([batch[name] for batch in batches], axis=1)[:steps, :count].T for name in batches[0]
    }
    direct_path = parts.pop(DIRECT_PATH, None)
    if direct_path is not None and (direct_path[:, 2:] == -np.inf).all():
        direct_path = None  # an Elman cell has no direct path
    return GradientDecay(np.arange(steps), parts, direct_path)


class NormsFunction(Protocol):
    """Function that measures the gradient norms of B positions at once."""

    def __call__(
        self, params: LanguageModelParams, inputs: Int[np.ndarray, "T B"], targets: Int[np.ndarray, "B"], /
    ) -> dict[str, Array]:
        """Return the log norms of each part by lag, ``[T - warm_up + 1, B]`` each, and of the direct path."""
        ...


@functools.lru_cache(maxsize=8)
def norms_function(model: LanguageModel, warm_up: int) -> NormsFunction:
    """Compile the function that measures gradient norms, once for each shape.

    Args:
        model: language model.
        warm_up: number of inputs that only set the state.
    """

    def log_norms(params: LanguageModelParams, inputs: Array, targets: Array) -> dict[str, Array]:
        xs = model.embed(params, inputs)
        state, _ = unroll(model.cell, params.cell, model.initial_state(targets.shape), xs[:warm_up])
        gradient = gradient_by_lag(
            model.cell, params.cell, state, xs[warm_up:], loss_of_output=lambda h: model.output_nats(params, h, targets)
        )
        norms, direct = _by_part(gradient.state), _by_part(gradient.direct_path)
        direct_path = direct.get("cell", direct.get("hidden"))  # c of an LSTM, h of a GRU
        return norms | {"inputs": gradient.inputs} | ({} if direct_path is None else {DIRECT_PATH: direct_path})

    return jit(log_norms)


def state_parts(model: LanguageModel) -> list[str]:
    """Return the names of the parts of the model's state: "hidden", and "cell" for LSTMs."""
    state = jax.eval_shape(lambda: model.initial_state(()))
    return list(dict.fromkeys(name for name, _ in _named_parts(state)))


def _by_part(state: Tree) -> dict[str, Array]:
    """Return the log norms of a state by part, with the layers of a stack concatenated."""
    parts: dict[str, list[Array]] = {}
    for name, part in _named_parts(state):
        parts.setdefault(name, []).append(part)
    return {name: _log_norm_of_concatenation(layers) for name, layers in parts.items()}


def _named_parts(state: Tree) -> list[tuple[str, Array]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return [(path[-1].name, leaf) for path, leaf in leaves]


def _log_norm_of_concatenation(log_norms: list[Array]) -> Array:
    """Return the log norm of concatenated vectors from their log norms."""
    return 0.5 * jax.nn.logsumexp(2 * jnp.stack(log_norms), axis=0)
