"""Output layers: hidden state to next-token distribution, each with its training loss and exact log-probabilities.

``make`` returns a layer by name.
"""

from rnnlm_jax.outputs.output_layer import LossByRow, OutputLayer, WithContext
from rnnlm_jax.outputs.output_registry import OUTPUTS, make, names
from rnnlm_jax.outputs.softmax import SoftmaxParams, softmax

__all__ = ["OUTPUTS", "LossByRow", "OutputLayer", "SoftmaxParams", "WithContext", "make", "names", "softmax"]
