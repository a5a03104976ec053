"""Measure how far back a trained language model looks, on real text: gradients, predictions and Jacobians by lag.

    report = measure_horizons(run, text, HorizonOptions(lags=(1, 10, 100), positions=500, sequences=4), ...)
    report.summary["horizons"], report.summary["perplexity_by_context"]

- ``gradient_decay``: norms of the gradient of single losses with respect to earlier states and inputs;
- ``information_decay``: perplexity with a context of k words (Khandelwal et al. 2018);
- ``text_spectra``, ``text_exponents``: singular spectra of Jacobian products and Lyapunov exponents along the text;
- ``horizon``, ``context_horizon``: one number from such a curve;
- ``measure_horizons``: all of these, as ``rnnlm-jax jacobians`` records them.
"""

from rnnlm_jax.evaluation.horizons.gradient_decay import GradientDecay, gradient_decay
from rnnlm_jax.evaluation.horizons.horizon import context_horizon, first_lag, horizon, mean_log_norms
from rnnlm_jax.evaluation.horizons.horizon_report import (
    HorizonOptions,
    HorizonReport,
    measure_horizons,
    require_measurable,
)
from rnnlm_jax.evaluation.horizons.information_decay import InformationDecay, information_decay
from rnnlm_jax.evaluation.horizons.text_spectra import TextSpectra, text_exponents, text_spectra

__all__ = [
    "GradientDecay",
    "HorizonOptions",
    "HorizonReport",
    "InformationDecay",
    "TextSpectra",
    "context_horizon",
    "first_lag",
    "gradient_decay",
    "horizon",
    "information_decay",
    "mean_log_norms",
    "measure_horizons",
    "require_measurable",
    "text_exponents",
    "text_spectra",
]
