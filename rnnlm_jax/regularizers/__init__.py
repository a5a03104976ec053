"""Terms that are added to a training loss, for any loss of a cell's outputs over time."""

from rnnlm_jax.regularizers.activation import activation, temporal_activation
from rnnlm_jax.regularizers.recurrence import flossing, omega
from rnnlm_jax.regularizers.regularized_gradient import Regularized, regularized_value_and_grad
from rnnlm_jax.regularizers.regularizer import (
    Layer,
    Reads,
    Regularizer,
    Window,
    cotangent_penalties,
    observed_layers,
    penalties,
    reads,
)
from rnnlm_jax.regularizers.regularizer_registry import REGULARIZERS, make_regularizers, regularizers_for

__all__ = [
    "Regularized",
    "REGULARIZERS",
    "Layer",
    "Reads",
    "Regularizer",
    "Window",
    "activation",
    "cotangent_penalties",
    "flossing",
    "make_regularizers",
    "observed_layers",
    "omega",
    "penalties",
    "reads",
    "regularized_value_and_grad",
    "regularizers_for",
    "temporal_activation",
]
