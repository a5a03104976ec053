"""The gradient of a language model's loss by lag, over many places of a real text."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data.encoded_text import require_ids_below
from rnnlm_jax.evaluation.horizons import positions as places
from rnnlm_jax.jacobians import gradient_by_lag
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams
from rnnlm_jax.unroll import unroll

#: Places swept at a time.
BATCH = 50


class GradientDecay(NamedTuple):
    """Natural logs of norms, ``[N, L+1]``: N places of the text by lags 0 … L; -inf where nothing arrives."""

    lags: np.ndarray
    parts: dict[str, np.ndarray]
    """``ln ‖∂J_i/∂h_{i-ℓ}‖`` as "hidden", of c as "cell" where there is one, of the embedded words as "inputs"; the
    layers of a stack taken together."""
    carousel: np.ndarray | None
    """What the direct path alone carries on from lag 1; None for cells without one."""


def gradient_decay(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: Int[np.ndarray, " n"],
    start_id: int,
    largest_lag: int,
    count: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> GradientDecay:
    """``‖∂J_i/∂s_{i-ℓ}‖`` and ``‖∂J_i/∂x_{i-ℓ}‖`` of the loss of single words, ``J_i = -ln ŷ_i[w_{i+1}]``.

    The model reads as many words again before the earliest lag, so that it is not at its initial state there.

    Args:
        model: the model.
        params: its parameters.
        tokens: the text.
        start_id: the input before its first token.
        largest_lag: L.
        count: how many places i, evenly spaced over the text.
        progress: told the number of tokens read since its last call.

    Raises:
        UserError: if the text is shorter than the largest lag, or of another vocabulary.
    """
    require_ids_below(tokens, model.vocab_size)
    steps = largest_lag + 1
    warm_up = min(steps, max(tokens.size - steps, 0))
    chosen = places.evenly(tokens, start_id, warm_up + steps, count)
    run, found = sweep(model, warm_up), []
    for batch in places.batches(chosen, min(BATCH, chosen.targets.size)):
        found.append(jax.device_get(run(params, batch.inputs, batch.targets)))
        progress(batch.inputs.size)
    norms: dict[str, np.ndarray] = {
        name: np.concatenate([each[name] for each in found], axis=1)[:steps, : chosen.targets.size].T
        for name in found[0]
    }
    carousel = norms.pop("carousel", None)
    if carousel is not None and (carousel[:, 2:] == -np.inf).all():
        carousel = None  # an Elman cell hands nothing on directly
    return GradientDecay(np.arange(steps), norms, carousel)


@functools.lru_cache(maxsize=8)
def sweep(model: LanguageModel, warm_up: int) -> Callable[..., dict[str, Array]]:
    """``(params, inputs, targets) -> norms by name [T+1, B]`` of a batch of places, compiled once per model and shape.

    ``warm_up`` is how many of the inputs only bring the model to its state.
    """

    def run(params: LanguageModelParams, inputs: Array, targets: Array) -> dict[str, Array]:
        xs = model.embed(params, inputs)
        state, _ = unroll(model.cell, params.cell, model.initial_state(targets.shape), xs[:warm_up])
        found = gradient_by_lag(
            model.cell, params.cell, state, xs[warm_up:], lambda h: model.output_nats(params, h, targets)
        )
        norms, direct = _by_part(found.state), _by_part(found.carousel)
        through = direct.get("cell", direct.get("hidden"))  # an LSTM's c; else h, a GRU's
        return norms | {"inputs": found.inputs} | ({} if through is None else {"carousel": through})

    return jit(run)


def state_parts(model: LanguageModel) -> list[str]:
    """The names of the parts of the model's state: "hidden", and "cell" for LSTMs."""
    state = jax.eval_shape(lambda: model.initial_state(()))
    return list(dict.fromkeys(name for name, _ in _named(state)))


def _by_part(state: Tree) -> dict[str, Array]:
    """The parts of a state by name, layers taken together."""
    found: dict[str, list[Array]] = {}
    for name, part in _named(state):
        found.setdefault(name, []).append(part)
    return {name: _together(parts) for name, parts in found.items()}


def _named(state: Tree) -> list[tuple[str, Array]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return [(path[-1].name, leaf) for path, leaf in leaves]


def _together(log_norms: list[Array]) -> Array:
    """The log norm of several vectors end to end."""
    return 0.5 * jax.nn.logsumexp(2 * jnp.stack(log_norms), axis=0)
