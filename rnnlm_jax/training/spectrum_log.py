"""Spectra of the recurrent Jacobians on a piece of validation text, logged with ``log_spectrum``."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.compilation import jit
from rnnlm_jax.config import TrainingConfig
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jacobians.lyapunov import lyapunov_spectrum
from rnnlm_jax.jacobians.spectrum import spectrum
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.training_layers import single_layers
from rnnlm_jax.training.jacobian_log import layer_runs
from rnnlm_jax.training.texts import Texts

#: A log singular value nearer to 0 than this, in nats, counts as near zero.
NEAR_ZERO = 1.0


@dataclass(frozen=True)
class SpectrumOptions:
    """What is measured, in tokens: ``spectrum_options`` of a configuration."""

    lag: int = 10
    """Lag ℓ of the singular values."""
    exponents: int = 8
    """Lyapunov exponents of each layer."""
    steps: int = 100
    """Tokens that the exponents are means over."""
    burn_in: int = 50
    """Tokens that are read before, from the initial state."""

    @property
    def tokens(self) -> int:
        """Tokens that are read."""
        return self.burn_in + max(self.lag, self.steps)


class _Layer(NamedTuple):
    """A layer at work on the text."""

    params: Tree
    start: Tree
    """Its state before the first token."""
    state: Tree
    """Its state after the burn-in."""
    xs: Float[Array, "T D"]


class SpectrumLog:
    """Measures the Jacobians of each layer, by its own inputs, on the first tokens of a text; without dropout.

    The Jacobian of a stack's whole state is block triangular, so that its exponents are those of all its layers.
    """

    def __init__(
        self, model: LanguageModel, tokens: Int[np.ndarray, " N"], options: SpectrumOptions, *, every: int = 1
    ) -> None:
        """Fix what is measured.

        Args:
            model: the model.
            tokens: the text; only the first ``options.tokens`` are read.
            options: lag and numbers.
            every: validations between two measurements.
        """
        self.options, self._model, self._every = options, model, every
        self._tokens = jnp.asarray(tokens[: options.tokens])
        self._layers = jit(self._run)

    def is_due(self, validations: int) -> bool:
        """Return whether to measure after so many validations; before training, there are none."""
        return validations % self._every == 0

    def record(self, params: LanguageModelParams, progress: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """Measure, and return the fields of a line of metrics.

        Args:
            params: parameters of the model.
            progress: called after each layer.

        Returns:
            ``exponents``: the largest Lyapunov exponents of the whole state, descending, in nats per token.
            Of the singular values ``σ_k`` of ``∂s_ℓ/∂s_0``, with s the state of one layer, a list with one number for
            each layer: ``log_largest``, ``ln σ_1`` in nats; ``log_condition``, ``ln σ_1 - ln σ_n`` in nats; and
            ``near_zero``, the share of them with ``|ln σ_k| < 1``. ``lag`` is ℓ.
            ``seconds_measuring`` is the time that it took.
        """
        began = time.perf_counter()
        exponents, logs = [], []
        cells = list(single_layers(self._model.cell))
        layers = jax.device_get(self._layers(params))  # on one device, also where parameters lie on several
        for cell, layer in zip(cells, layers, strict=True):
            exponents.append(self._exponents(cell, layer))
            logs.append(self._log_singular_values(cell, layer))
            progress()
        return {
            "exponents": np.sort(np.concatenate(exponents))[::-1][: self.options.exponents].tolist(),
            "lag": self.options.lag,
            "log_largest": [float(values[0]) for values in logs],
            "log_condition": [float(values[0] - values[-1]) for values in logs],
            "near_zero": [float((np.abs(values) < NEAR_ZERO).mean()) for values in logs],
            "seconds_measuring": round(time.perf_counter() - began, 3),
        }

    def _run(self, params: LanguageModelParams) -> list[_Layer]:
        """Run the model over the text; traced."""
        start = self._model.cell_state(self._model.initial_state(()))
        layers = []
        for run in layer_runs(self._model, params, start, self._tokens, key=None):
            states, burn_in = run.states.before, self.options.burn_in
            first, later = (jax.tree.map(lambda leaf, at=at: leaf[at], states) for at in (0, burn_in))
            layers.append(_Layer(run.params, first, later, run.xs))
        return layers

    def _exponents(self, cell: Cell, layer: _Layer) -> np.ndarray:
        burn_in, count = self.options.burn_in, min(self.options.exponents, state_size(cell))
        xs = layer.xs[: burn_in + self.options.steps]
        options: Any = {"key": jax.random.key(0), "count": count, "burn_in": burn_in}
        return np.asarray(lyapunov_spectrum(cell, layer.params, layer.start, xs, **options).exponents)

    def _log_singular_values(self, cell: Cell, layer: _Layer) -> np.ndarray:
        """Return the values of a layer, descending, by a product that keeps the small ones accurate."""
        xs = layer.xs[self.options.burn_in :][: self.options.lag]
        found = spectrum(cell, layer.params, layer.state, xs, certify=False).log_singular_values[-1]
        return np.asarray(found, np.float64)


def make_spectrum_log(model: LanguageModel, config: TrainingConfig, texts: Texts) -> SpectrumLog | None:
    """Return the measurement that a configuration asks for; None if it asks for none.

    Raises:
        ConfigError: if an option is unknown or impossible, the model has no recurrent part, or the validation text is
            too short.
    """
    if config.log_spectrum is None:
        if config.spectrum_options:
            raise ConfigError("`spectrum_options` are of `log_spectrum`: give both, or leave them out")
        return None
    if not model.cell.spec.output_size:
        raise ConfigError("`log_spectrum` measures the recurrent part, and this model has none: leave it out")
    options = _options(dict(config.spectrum_options))
    if len(texts.valid) < options.tokens:
        raise ConfigError(
            f"`log_spectrum` reads {options.tokens:,} tokens of the validation text, which has {len(texts.valid):,}: "
            "lower burn_in, steps or lag of `spectrum_options`"
        )
    return SpectrumLog(model, texts.valid.tokens, options, every=config.log_spectrum)


def _options(given: dict[str, Any]) -> SpectrumOptions:
    """Return the options, by name.

    Raises:
        ConfigError: for an unknown name or an impossible value.
    """
    least = {field.name: 0 if field.name == "burn_in" else 1 for field in dataclasses.fields(SpectrumOptions)}
    for name, value in given.items():
        if name not in least:
            raise ConfigError(f"`spectrum_options` has no option {name!r}: its options are {', '.join(least)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < least[name]:
            raise ConfigError(
                f"`{name}` of `spectrum_options` must be a whole number of {least[name]} or more, not {value!r}"
            )
    return SpectrumOptions(**given)
