"""Singular spectra and Lyapunov exponents of a language model's state Jacobians along a text."""

import functools
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.compilation import jit
from rnnlm_jax.data.encoded_text import require_ids_below
from rnnlm_jax.errors import TrainingError
from rnnlm_jax.evaluation.horizons.positions import evenly_spaced
from rnnlm_jax.jacobians import (
    LyapunovSpectrum,
    ProductSpectrum,
    lyapunov_spectrum,
    spectrum,
    state_size,
    step_jacobian,
    top_singular,
)
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import Progress, no_progress
from rnnlm_jax.unroll import unroll

#: State size above which only the largest singular values are computed, without forming a matrix, and their number.
FULL_SPECTRUM, TOP = 1200, 8
#: Largest error of a trusted log singular value, in nats: far below anything that a figure shows.
TOLERANCE = 0.01
#: Number of Lyapunov exponents, and the largest and smallest number of words that they are averaged over.
EXPONENTS, EXPONENT_STEPS, MIN_EXPONENT_STEPS = 16, 1000, 20


class TextSpectra(NamedTuple):
    """Log singular values (nats) of ``∂s_{i+ℓ}/∂s_i`` at Q positions by S lags, and eigenvalues of single steps."""

    lags: Int[np.ndarray, "S"]
    log_singular_values: Float[np.ndarray, "Q S n"]
    """Descending; for a large state only the largest."""
    trusted: Int[np.ndarray, "Q S"]
    """Number of leading values whose error is below ``TOLERANCE``."""
    log_abs_det: Float[np.ndarray, "Q S"] | None
    step_eigenvalues: np.ndarray | None
    """Eigenvalues of ``∂s_{i+1}/∂s_i`` at each position, complex ``[Q, n]``."""


class _Spectra(NamedTuple):
    """Spectra at one position."""

    log_singular_values: Float[Array, "S n"]
    trusted: Int[Array, "S"]
    log_abs_det: Float[Array, "S"] | None
    first_jacobian: Float[Array, "n n"] | None


class _SpectraFunction(Protocol):
    """Function that measures the spectra of the steps that read given inputs."""

    def __call__(self, params: LanguageModelParams, inputs: Int[np.ndarray, "T"], /) -> _Spectra:
        """Return the spectra."""
        ...


def text_spectra(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: Int[np.ndarray, " n"],
    *,
    start_id: int,
    lags: Sequence[int],
    count: int,
    progress: Progress = no_progress,
) -> TextSpectra:
    """Return log singular spectra at several lags: all values, or the ``TOP`` largest above ``FULL_SPECTRUM`` units.

    Args:
        model: language model.
        params: its parameters.
        tokens: text.
        start_id: input before its first token.
        lags: ascending.
        count: number of positions, evenly spaced over the text.
        progress: called with the number of tokens read since its last call.

    Raises:
        DataError: if the text is shorter than the largest lag or of another vocabulary.
        TrainingError: if a Jacobian is not finite.
    """
    require_ids_below(tokens, model.vocab_size)
    longest = max(lags)
    warm_up = min(longest, max(tokens.size - longest, 0))
    positions = evenly_spaced(tokens, start_id=start_id, steps=warm_up + longest, count=count)
    make_function = _all_values if state_size(model.cell) <= FULL_SPECTRUM else _top_values
    measure, spectra = make_function(model, warm_up, tuple(lags)), []
    for inputs in positions.inputs.T:
        spectra.append(jax.device_get(measure(params, inputs)))
        progress(inputs.size)
    first = spectra[0]
    jacobians = None if first.first_jacobian is None else np.stack([each.first_jacobian for each in spectra])
    if jacobians is not None and not np.isfinite(jacobians).all():
        raise TrainingError(
            "a step Jacobian is not finite: the model's state overflows on this text; try another model"
        )
    return TextSpectra(
        lags=np.array(lags),
        log_singular_values=np.stack([each.log_singular_values for each in spectra]),
        trusted=np.stack([each.trusted for each in spectra]),
        log_abs_det=None if first.log_abs_det is None else np.stack([each.log_abs_det for each in spectra]),
        step_eigenvalues=None if jacobians is None else np.linalg.eigvals(jacobians.astype(np.float64)),
    )


@functools.lru_cache(maxsize=4)
def _all_values(model: LanguageModel, warm_up: int, lags: tuple[int, ...]) -> _SpectraFunction:
    """Compile the function that measures full spectra."""

    def measure(params: LanguageModelParams, inputs: Array) -> _Spectra:
        xs = model.embed(params, inputs)
        state, _ = unroll(model.cell, params.cell, model.initial_state(()), xs[:warm_up])
        products: ProductSpectrum = spectrum(
            model.cell, params.cell, state, xs[warm_up:], lags=lags, tolerance=TOLERANCE
        )
        jacobian = step_jacobian(model.cell, params.cell, state, xs[warm_up])
        return _Spectra(products.log_singular_values, _count_leading(products.trusted), products.log_abs_det, jacobian)

    return jit(measure)


@functools.lru_cache(maxsize=4)
def _top_values(model: LanguageModel, warm_up: int, lags: tuple[int, ...]) -> _SpectraFunction:
    """Return the function that measures the largest singular values without forming a matrix."""

    @functools.partial(jit, static_argnums=2)
    def at_lag(params: LanguageModelParams, inputs: Array, lag: int) -> tuple[Array, Array]:
        xs = model.embed(params, inputs)
        state, _ = unroll(model.cell, params.cell, model.initial_state(()), xs[:warm_up])
        steps = xs[warm_up : warm_up + lag]
        top = top_singular(model.cell, params.cell, state, steps, k=TOP, key=jax.random.key(0))
        return top.log_singular_values, _count_leading(top.residual < TOLERANCE)

    def measure(params: LanguageModelParams, inputs: Int[np.ndarray, "T"], /) -> _Spectra:
        values, trusted = zip(*(at_lag(params, inputs, lag) for lag in lags), strict=True)
        return _Spectra(jnp.stack(values), jnp.stack(trusted), None, None)

    return measure


def _count_leading(is_right: Bool[Array, "*S n"]) -> Int[Array, "*S"]:
    """Return the number of true values before the first false one."""
    return jnp.cumprod(is_right.astype(jnp.int32), axis=-1).sum(axis=-1, dtype=jnp.int32)


def text_exponents(
    model: LanguageModel, params: LanguageModelParams, tokens: Int[np.ndarray, " n"], *, start_id: int
) -> LyapunovSpectrum | None:
    """Return the largest Lyapunov exponents of a model that reads a text; None if the text is too short for a mean.

    Raises:
        DataError: if the text is of another vocabulary.
    """
    require_ids_below(tokens, model.vocab_size)
    steps = min(EXPONENT_STEPS, tokens.size)
    if steps < MIN_EXPONENT_STEPS:
        return None
    inputs = np.concatenate([np.array([start_id], tokens.dtype), tokens[: steps - 1]])
    return jax.device_get(_exponents_function(model)(params, inputs))


class _ExponentsFunction(Protocol):
    """Function that measures Lyapunov exponents along given inputs."""

    def __call__(self, params: LanguageModelParams, inputs: Int[np.ndarray, "T"], /) -> LyapunovSpectrum:
        """Return the exponents."""
        ...


@functools.lru_cache(maxsize=4)
def _exponents_function(model: LanguageModel) -> _ExponentsFunction:
    """Compile the function that measures exponents; the first tenth of the steps is left out of the means."""
    count = min(EXPONENTS, state_size(model.cell))

    def measure(params: LanguageModelParams, inputs: Array) -> LyapunovSpectrum:
        xs = model.embed(params, inputs)
        state, burn_in = model.initial_state(()), inputs.size // 10
        key = jax.random.key(0)
        return lyapunov_spectrum(model.cell, params.cell, state, xs, key=key, count=count, burn_in=burn_in)

    return jit(measure)
