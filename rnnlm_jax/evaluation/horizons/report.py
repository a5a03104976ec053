"""Everything that is measured of a run's past on a text, as named arrays and a summary."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.horizons.gradient_decay import gradient_decay, state_parts
from rnnlm_jax.evaluation.horizons.horizon import FRACTIONS, context_horizon, first_lag, horizon, mean_log_norms
from rnnlm_jax.evaluation.horizons.information_decay import CONTEXTS, information_decay
from rnnlm_jax.evaluation.horizons.text_spectra import text_exponents, text_spectra
from rnnlm_jax.evaluation.perplexity import perplexity
from rnnlm_jax.jacobians import decay_rates, state_size
from rnnlm_jax.jacobians.wide import arithmetic_dtype, as_type, wide
from rnnlm_jax.jobs.run_folder import Run, build_model, write_json
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams
from rnnlm_jax.system.atomic_write import atomic_write

#: How close to the full context's perplexity a shorter context must come, by name.
TOLERANCES = {"1%": 0.01, "5%": 0.05}

Bar = Callable[[str, int], Any]  # (what, tokens to read) -> a progress bar


@dataclass(frozen=True)
class Options:
    """What to measure."""

    lags: tuple[int, ...]
    """Lags to report, ascending; norms are measured at every lag up to the largest."""
    positions: int
    """Places of the text that gradients, and contexts, are averaged over."""
    sequences: int
    """Stretches of the text whose spectra are computed; none: 0."""
    parts: tuple[str, ...] | None = None
    """Which gradients: of "hidden", "cell" and "inputs"; None for all that the cell has."""


@dataclass(frozen=True)
class Report:
    """What was measured of one run."""

    arrays: dict[str, np.ndarray]
    summary: dict[str, Any]

    def write(self, folder: Path) -> None:
        """``jacobians.npz`` and ``jacobians.json``, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / "jacobians.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **self.arrays)  # pyright: ignore[reportArgumentType]
        write_json(folder / "jacobians.json", self.summary)


def check(run: Run, name: str, text: EncodedText, options: Options) -> None:
    """Check that all of it can be measured, before any of it is.

    Raises:
        UserError: for parameters that are not finite, an output layer that reads words itself, a part that the state
            does not have, or a lag beyond the text.
    """
    require_finite(run.params, name)
    if run.model.output.past:
        raise UserError(
            f"{name} predicts from the last words beside its state (output {run.model.output.kind!r}): "
            "Jacobians do not say what that reads, give a run with another output"
        )
    known = [*state_parts(run.model), "inputs"]
    for part in options.parts or ():
        if part not in known:
            raise UserError(
                f"{name} ({run.config.model.cell}) has no {part!r} to take gradients of: it has {', '.join(known)}"
            )
    if max(options.lags) >= len(text):
        raise UserError(f"lag {max(options.lags)} goes beyond the text of {len(text):,} tokens: ask for smaller lags")


def analyse(run: Run, name: str, data: str, text: EncodedText, options: Options, bar: Bar) -> Report:
    """Gradients by lag, perplexity by context, spectra and exponents of a run on a text.

    Raises:
        UserError: see ``check``.
    """
    check(run, name, text, options)
    # What was just drawn and what was read from a file are placed alike, or all would be compiled for each.
    run = dataclasses.replace(run, params=jax.device_put(run.params, jax.local_devices()[0]))
    arrays: dict[str, np.ndarray] = {}
    summary: dict[str, Any] = {
        "name": name,
        "run": name,
        "data": data,
        "run_id": None if run.identity is None else run.identity.run_id,
        "step": run.position.step,
        "model": dataclasses.asdict(run.config.model),
        "cell": run.config.model.cell,
        "level": run.vocabulary.level,
        "largest_lag": max(options.lags),
    }
    for part in (_gradients, _contexts, _spectra):
        more_arrays, more = part(run, text, options, bar)
        arrays |= more_arrays
        summary |= more
    return Report(arrays, summary)


Measured = tuple[dict[str, np.ndarray], dict[str, Any]]


def _gradients(run: Run, text: EncodedText, options: Options, bar: Bar) -> Measured:
    """Norms by lag, their horizons and, for a simple recurrent network, what its weights bound them by."""
    largest = max(options.lags)
    with bar("gradients", 2 * (largest + 1) * options.positions) as progress:
        found = gradient_decay(
            run.model, run.params, text.tokens, run.vocabulary.start_id, largest, options.positions, progress.update
        )
    wanted = found.parts if options.parts is None else {part: found.parts[part] for part in options.parts}
    arrays = {"lag": found.lags} | {f"log_norm_{part}": norms for part, norms in wanted.items()}
    if found.carousel is not None:
        arrays["log_norm_carousel"] = found.carousel
    curves = {part: mean_log_norms(norms) for part, norms in wanted.items()}
    with np.errstate(over="ignore"):  # infinite where a gradient explodes beyond the type
        relative = {part: np.exp(curve) for part, curve in curves.items()}
    summary: dict[str, Any] = {
        "positions": len(found.parts["inputs"]),  # fewer than asked for in a short text
        "horizons": {
            part: {label: horizon(curve, fraction) for label, fraction in FRACTIONS.items()}
            for part, curve in curves.items()
        },
        "relative_norms": {
            part: {str(lag): float(curve[lag]) for lag in options.lags} for part, curve in relative.items()
        },
        "first_lag": {part: first_lag(curve) for part, curve in curves.items()},
    }
    rates = decay_rates(run.model.cell, run.params.cell)
    if rates is not None:
        arrays["log_bound_sigma"] = found.lags * rates.log_norm_bound
        arrays["log_bound_rho"] = found.lags * rates.log_spectral_radius
        summary["decay_rates"] = rates._asdict()
    return arrays, summary


def _contexts(run: Run, text: EncodedText, options: Options, bar: Bar) -> Measured:
    """Perplexity by context, and the context that comes close to the whole past."""
    contexts = [k for k in CONTEXTS if k < len(text)]
    with bar("contexts", sum(contexts) * options.positions + len(text)) as progress:
        found = information_decay(
            run.model, run.params, text, run.vocabulary, options.positions, contexts, progress.update
        )
    arrays = {
        "context": found.contexts,
        "context_nats": found.nats,
        "context_standard_errors": found.standard_errors,
        "full_nats": np.array(found.full_nats),
        "full_standard_error": np.array(found.full_standard_error),
    }
    columns = found.contexts.tolist(), found.nats.tolist(), found.standard_errors.tolist()
    summary = {
        "perplexity_by_context": {str(k): perplexity(nats, 1) for k, nats, _ in zip(*columns, strict=True)},
        "perplexity_standard_errors": {
            str(k): perplexity(nats, 1) * error for k, nats, error in zip(*columns, strict=True)
        },
        "perplexity_full_context": perplexity(found.full_nats, 1),
        "perplexity_full_context_standard_error": perplexity(found.full_nats, 1) * found.full_standard_error,
        "context_tokens": found.tokens,
        "context_horizon": {
            label: context_horizon(found.contexts, found.nats, found.full_nats, tolerance)
            for label, tolerance in TOLERANCES.items()
        },
    }
    return arrays, summary


def _spectra(run: Run, text: EncodedText, options: Options, bar: Bar) -> Measured:
    """Log singular spectra, eigenvalues of single steps, Lyapunov exponents."""
    if options.sequences == 0:
        return {}, {}
    start, dtype = run.vocabulary.start_id, arithmetic_dtype()
    with wide(dtype), bar("spectra", 2 * max(options.lags) * options.sequences) as progress:
        model, params = _in(dtype, run)
        found = text_spectra(model, params, text.tokens, start, options.lags, options.sequences, progress.update)
        exponents = text_exponents(model, params, text.tokens, start)
    arrays = {
        "spectrum_lag": found.lags,
        "log_singular_values": found.log_singular_values,
        "trusted": found.trusted,
    }
    optional: Sequence[tuple[str, np.ndarray | None]] = (
        ("log_abs_det", found.log_abs_det),
        ("step_eigenvalues", found.step_eigenvalues),
    )
    arrays |= {name: array for name, array in optional if array is not None}
    summary: dict[str, Any] = {
        "largest_singular_value_per_step": {
            str(lag): float(np.median(found.log_singular_values[:, row, 0])) / lag
            for row, lag in enumerate(found.lags.tolist())
        },
        "trusted": found.trusted.tolist(),
        "singular_values": int(found.log_singular_values.shape[-1]),  # only the largest ones of a large state
        "state_size": state_size(run.model.cell),
    }
    if exponents is not None:
        arrays["lyapunov_exponents"] = np.asarray(exponents.exponents)
        arrays["lyapunov_standard_errors"] = np.asarray(exponents.standard_errors)
        summary["lyapunov"] = {
            "largest": float(exponents.exponents[0]),
            "standard_error": float(exponents.standard_errors[0]),
            "long_correlations": bool(exponents.long_correlations[0]),
            "kaplan_yorke_dimension": float(exponents.kaplan_yorke_dimension),
        }
    return arrays, summary


def _in(dtype: np.dtype, run: Run) -> tuple[LanguageModel, LanguageModelParams]:
    """The model as the same function of the same parameters, computed in another type.

    The Jacobians of a trained LSTM, whose gates saturate, have rows so nearly parallel that float32 hides their least
    singular values, whatever is done with them later.
    """
    config = dataclasses.replace(run.config.model, dtype=dtype.name, param_dtype=dtype.name)
    return build_model(config, run.vocabulary.size, words=run.words), as_type(run.params, dtype)
