"""Output layers: hidden state to next-token distribution."""

from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.outputs.softmax import SoftmaxParams, softmax

__all__ = ["OutputLayer", "SoftmaxParams", "softmax"]
