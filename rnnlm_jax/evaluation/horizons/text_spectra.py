"""Spectra of a language model's state Jacobians along stretches of real text."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Int
from rnnlm_jax.compilation import jit
from rnnlm_jax.data.encoded_text import require_ids_below
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.horizons import positions as places
from rnnlm_jax.jacobians import (
    LyapunovSpectrum,
    ProductSpectrum,
    lyapunov_spectrum,
    spectrum,
    state_size,
    step_jacobian,
    top_singular,
)
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams
from rnnlm_jax.unroll import unroll

#: Above this state size only the largest singular values are computed, without a matrix.
FULL_SPECTRUM, TOP = 1200, 8

#: Nats that a value may be off and still be trusted: far below anything that a figure shows.
TOLERANCE = 0.01

#: Lyapunov exponents, and the words that they are averaged over at most.
EXPONENTS, EXPONENT_STEPS = 16, 1000


class TextSpectra(NamedTuple):
    """Log singular spectra (nats) of ``∂s_{i+ℓ}/∂s_i`` at Q places by S lags, and eigenvalues of single steps."""

    lags: np.ndarray  # int [S]
    log_singular_values: np.ndarray  # [Q, S, n], or the largest of them
    trusted: np.ndarray  # int [Q, S], how many from the largest on
    log_abs_det: np.ndarray | None  # [Q, S]
    step_eigenvalues: np.ndarray | None  # complex [Q, n], of ``∂s_t/∂s_{t-1}`` at each place


def text_spectra(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: Int[np.ndarray, " n"],
    start_id: int,
    lags: Sequence[int],
    count: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> TextSpectra:
    """Full log singular spectra at several lags; of a state above ``FULL_SPECTRUM``, the ``TOP`` largest.

    Args:
        model: the model.
        params: its parameters.
        tokens: the text.
        start_id: the input before its first token.
        lags: ascending.
        count: how many stretches of the text.
        progress: told the number of tokens read since its last call.

    Raises:
        UserError: if the text is shorter than the largest lag or of another vocabulary, or a Jacobian is not finite.
    """
    require_ids_below(tokens, model.vocab_size)
    longest = max(lags)
    warm_up = min(longest, max(tokens.size - longest, 0))
    chosen = places.evenly(tokens, start_id, warm_up + longest, count)
    full = state_size(model.cell) <= FULL_SPECTRUM
    measure, found = (_full if full else _top)(model, warm_up, tuple(lags)), []
    for inputs in chosen.inputs.T:
        found.append(jax.device_get(measure(params, inputs)))
        progress(inputs.size)
    columns = zip(*found, strict=True)
    values, trusted, dets, jacobians = (None if each[0] is None else np.stack(each) for each in columns)
    assert values is not None and trusted is not None
    if jacobians is not None and not np.isfinite(jacobians).all():
        raise UserError("a step Jacobian is not finite: the model's state overflows on this text; try another model")
    eigenvalues = None if jacobians is None else np.linalg.eigvals(jacobians.astype(np.float64))
    return TextSpectra(np.array(lags), values, trusted, dets, eigenvalues)


@functools.lru_cache(maxsize=4)
def _full(model: LanguageModel, warm_up: int, lags: tuple[int, ...]) -> Callable[..., Any]:
    """(values, trusted, log-determinant, Jacobian of the first step) of a stretch."""

    def measure(params: LanguageModelParams, inputs: Array) -> tuple[Array, Array, Array, Array]:
        xs = model.embed(params, inputs)
        state, _ = unroll(model.cell, params.cell, model.initial_state(()), xs[:warm_up])
        found: ProductSpectrum = spectrum(model.cell, params.cell, state, xs[warm_up:], lags, TOLERANCE)
        jacobian = step_jacobian(model.cell, params.cell, state, xs[warm_up])
        return found.log_singular_values, _leading(found.trusted), found.log_abs_det, jacobian

    return jit(measure)


@functools.lru_cache(maxsize=4)
def _top(model: LanguageModel, warm_up: int, lags: tuple[int, ...]) -> Callable[..., Any]:
    """(values, trusted, None, None) of a stretch, no matrix formed."""

    @functools.partial(jit, static_argnums=2)
    def at_lag(params: LanguageModelParams, inputs: Array, lag: int) -> tuple[Array, Array]:
        xs = model.embed(params, inputs)
        state, _ = unroll(model.cell, params.cell, model.initial_state(()), xs[:warm_up])
        window = xs[warm_up : warm_up + lag]
        found = top_singular(model.cell, params.cell, state, window, TOP, jax.random.key(0))
        return found.log_singular_values, _leading(found.residual < TOLERANCE)

    def measure(params: LanguageModelParams, inputs: Array) -> tuple[np.ndarray, np.ndarray, None, None]:
        values, trusted = zip(*(at_lag(params, inputs, lag) for lag in lags), strict=True)
        return np.stack(values), np.stack(trusted), None, None

    return measure


def _leading(right: Bool[Array, "*S n"]) -> Int[Array, "*S"]:
    """How many from the largest on."""
    return jnp.cumprod(right.astype(jnp.int32), axis=-1).sum(axis=-1, dtype=jnp.int32)


def text_exponents(
    model: LanguageModel, params: LanguageModelParams, tokens: Int[np.ndarray, " n"], start_id: int
) -> LyapunovSpectrum | None:
    """The largest Lyapunov exponents of a model that reads a text; None if the text is too short for an average.

    Raises:
        UserError: if the text is of another vocabulary.
    """
    require_ids_below(tokens, model.vocab_size)
    steps = min(EXPONENT_STEPS, tokens.size)
    if steps < 20:
        return None
    inputs = np.concatenate([np.array([start_id], tokens.dtype), tokens[: steps - 1]])
    return jax.device_get(_exponents(model)(params, inputs))


@functools.lru_cache(maxsize=4)
def _exponents(model: LanguageModel) -> Callable[..., LyapunovSpectrum]:
    """The exponents of a sequence, its first tenth left out of the means."""
    count = min(EXPONENTS, state_size(model.cell))

    def measure(params: LanguageModelParams, inputs: Array) -> LyapunovSpectrum:
        xs = model.embed(params, inputs)
        state, burn_in = model.initial_state(()), inputs.size // 10
        key = jax.random.key(0)
        return lyapunov_spectrum(model.cell, params.cell, state, xs, key=key, count=count, burn_in=burn_in)

    return jit(measure)
