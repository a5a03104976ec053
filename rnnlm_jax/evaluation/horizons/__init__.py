"""What a trained language model does with its past: gradients, information and spectra by lag, on real text."""

from rnnlm_jax.evaluation.horizons.gradient_decay import GradientDecay, gradient_decay
from rnnlm_jax.evaluation.horizons.horizon import horizon, mean_log_norms
from rnnlm_jax.evaluation.horizons.information_decay import InformationDecay, information_decay

__all__ = [
    "GradientDecay",
    "InformationDecay",
    "gradient_decay",
    "horizon",
    "information_decay",
    "mean_log_norms",
]
