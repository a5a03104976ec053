"""Measure everything about a run's use of context on a text, as named arrays and a summary."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation.horizons.gradient_decay import gradient_decay, state_parts
from rnnlm_jax.evaluation.horizons.horizon import FRACTIONS, context_horizon, first_lag, horizon, mean_log_norms
from rnnlm_jax.evaluation.horizons.information_decay import CONTEXTS, information_decay
from rnnlm_jax.evaluation.horizons.text_spectra import text_exponents, text_spectra
from rnnlm_jax.evaluation.perplexity import perplexity
from rnnlm_jax.jacobians import decay_rates, state_size
from rnnlm_jax.jacobians.arithmetic.float64_context import arithmetic_dtype, as_type, computing_in
from rnnlm_jax.jobs.run_folder import Run, build_model, write_json
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.atomic_write import atomic_write
from rnnlm_jax.system.progress import MakeProgressBar

#: Name -> excess over the full context's perplexity at which a shorter context is enough.
TOLERANCES = {"1%": 0.01, "5%": 0.05}


@dataclass(frozen=True)
class HorizonOptions:
    """What to measure."""

    lags: tuple[int, ...]
    """Lags to report, ascending; norms are measured at every lag up to the largest."""
    positions: int
    """Number of positions of the text that gradients and contexts are averaged over."""
    sequences: int
    """Number of positions whose spectra are computed; 0 for no spectra."""
    parts: tuple[str, ...] | None = None
    """Gradients to report, of "hidden", "cell" and "inputs"; None for all."""


@dataclass(frozen=True)
class HorizonReport:
    """Measurements of one run."""

    arrays: dict[str, np.ndarray]
    summary: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write ``jacobians.npz`` and ``jacobians.json``, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / "jacobians.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **self.arrays)  # pyright: ignore[reportArgumentType]
        write_json(folder / "jacobians.json", self.summary)


class _Measurements(NamedTuple):
    """Part of a report."""

    arrays: dict[str, np.ndarray]
    summary: dict[str, Any]


def require_measurable(run: Run, text: EncodedText, options: HorizonOptions, *, name: str) -> None:
    """Check, before the work begins, that everything can be measured.

    Raises:
        CheckpointError: if parameters are not finite.
        ArgumentError: if the output layer reads words itself, the state does not have one of the parts, or a lag is
            longer than the text.
    """
    require_finite(run.params, name)
    if run.model.output.context_size:
        raise ArgumentError(
            f"{name} predicts from the last words beside its state (output {run.model.output.kind!r}): Jacobians do "
            "not include them, give a run with another output"
        )
    available = [*state_parts(run.model), "inputs"]
    for part in options.parts or ():
        if part not in available:
            raise ArgumentError(
                f"{name} ({run.config.model.cell}) has no {part!r} to take gradients of: it has {', '.join(available)}"
            )
    if max(options.lags) >= len(text):
        raise ArgumentError(
            f"lag {max(options.lags)} goes beyond the text of {len(text):,} tokens: ask for smaller lags"
        )


def measure_horizons(
    run: Run, text: EncodedText, options: HorizonOptions, *, name: str, data: str, make_bar: MakeProgressBar
) -> HorizonReport:
    """Measure gradients by lag, perplexity by context, spectra and Lyapunov exponents of a run on a text.

    Args:
        run: trained run.
        text: text encoded by the run's vocabulary.
        options: what to measure.
        name: name of the run in the report.
        data: name of the text in the report.
        make_bar: makes progress bars.

    Raises:
        CheckpointError, ArgumentError: as ``require_measurable``.
    """
    require_measurable(run, text, options, name=name)
    # Parameters from a file and new ones get the same placement, so that each program is compiled once.
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
    for measure in (_measure_gradients, _measure_contexts, _measure_spectra):
        measurements = measure(run, text, options, make_bar)
        arrays |= measurements.arrays
        summary |= measurements.summary
    return HorizonReport(arrays, summary)


def _measure_gradients(
    run: Run, text: EncodedText, options: HorizonOptions, make_bar: MakeProgressBar
) -> _Measurements:
    """Measure norms by lag, their horizons and, for a simple recurrent network, the bounds from its weights."""
    largest = max(options.lags)
    with make_bar("gradients", 2 * (largest + 1) * options.positions) as bar:
        decay = gradient_decay(
            run.model,
            run.params,
            text.tokens,
            start_id=run.vocabulary.start_id,
            largest_lag=largest,
            count=options.positions,
            progress=bar.update,
        )
    parts = decay.parts if options.parts is None else {part: decay.parts[part] for part in options.parts}
    arrays = {"lag": decay.lags} | {f"log_norm_{part}": norms for part, norms in parts.items()}
    if decay.direct_path is not None:
        arrays["log_norm_carousel"] = decay.direct_path
    curves = {part: mean_log_norms(norms) for part, norms in parts.items()}
    with np.errstate(over="ignore"):  # infinite if a gradient explodes beyond the type
        relative = {part: np.exp(curve) for part, curve in curves.items()}
    summary: dict[str, Any] = {
        "positions": len(decay.parts["inputs"]),  # fewer than requested in a short text
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
        arrays["log_bound_sigma"] = decay.lags * rates.log_norm_bound
        arrays["log_bound_rho"] = decay.lags * rates.log_spectral_radius
        summary["decay_rates"] = rates._asdict()
    return _Measurements(arrays, summary)


def _measure_contexts(run: Run, text: EncodedText, options: HorizonOptions, make_bar: MakeProgressBar) -> _Measurements:
    """Measure perplexity by context, and the contexts whose perplexity is near that of the full context."""
    contexts = [k for k in CONTEXTS if k < len(text)]
    with make_bar("contexts", sum(contexts) * options.positions + len(text)) as bar:
        decay = information_decay(
            run.model,
            run.params,
            text,
            run.vocabulary,
            count=options.positions,
            contexts=contexts,
            progress=bar.update,
        )
    arrays = {
        "context": decay.contexts,
        "context_nats": decay.nll,
        "context_standard_errors": decay.standard_errors,
        "full_nats": np.array(decay.full_nll),
        "full_standard_error": np.array(decay.full_standard_error),
    }
    columns = decay.contexts.tolist(), decay.nll.tolist(), decay.standard_errors.tolist()
    summary = {
        "perplexity_by_context": {str(k): perplexity(nll, 1) for k, nll, _ in zip(*columns, strict=True)},
        "perplexity_standard_errors": {
            str(k): perplexity(nll, 1) * error for k, nll, error in zip(*columns, strict=True)
        },
        "perplexity_full_context": perplexity(decay.full_nll, 1),
        "perplexity_full_context_standard_error": perplexity(decay.full_nll, 1) * decay.full_standard_error,
        "context_tokens": decay.tokens,
        "context_horizon": {
            label: context_horizon(decay.contexts, decay.nll, full_nll=decay.full_nll, tolerance=tolerance)
            for label, tolerance in TOLERANCES.items()
        },
    }
    return _Measurements(arrays, summary)


def _measure_spectra(run: Run, text: EncodedText, options: HorizonOptions, make_bar: MakeProgressBar) -> _Measurements:
    """Measure log singular spectra, eigenvalues of single steps and Lyapunov exponents."""
    if options.sequences == 0:
        return _Measurements({}, {})
    start_id, dtype = run.vocabulary.start_id, arithmetic_dtype()
    with computing_in(dtype), make_bar("spectra", 2 * max(options.lags) * options.sequences) as bar:
        model, params = _in_dtype(run, dtype)
        spectra = text_spectra(
            model,
            params,
            text.tokens,
            start_id=start_id,
            lags=options.lags,
            count=options.sequences,
            progress=bar.update,
        )
        exponents = text_exponents(model, params, text.tokens, start_id=start_id)
    arrays = {
        "spectrum_lag": spectra.lags,
        "log_singular_values": spectra.log_singular_values,
        "trusted": spectra.trusted,
    }
    optional = {"log_abs_det": spectra.log_abs_det, "step_eigenvalues": spectra.step_eigenvalues}
    arrays |= {name: array for name, array in optional.items() if array is not None}
    summary: dict[str, Any] = {
        "largest_singular_value_per_step": {
            str(lag): float(np.median(spectra.log_singular_values[:, row, 0])) / lag
            for row, lag in enumerate(spectra.lags.tolist())
        },
        "trusted": spectra.trusted.tolist(),
        "singular_values": int(spectra.log_singular_values.shape[-1]),  # of a large state only the largest
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
    return _Measurements(arrays, summary)


def _in_dtype(run: Run, dtype: np.dtype) -> tuple[LanguageModel, LanguageModelParams]:
    """Return the same model with the same parameters, computed in another type.

    The Jacobians of a trained LSTM, whose gates saturate, have nearly parallel rows: in float32 their smallest singular
    values are lost to rounding, and no later computation can restore them.
    """
    config = dataclasses.replace(run.config.model, dtype=dtype.name, param_dtype=dtype.name)
    return build_model(config, run.vocabulary.size, words=run.words, unknown_id=run.vocabulary.unk_id), as_type(
        run.params, dtype
    )
