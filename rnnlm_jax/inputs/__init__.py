"""Input layers: what a cell sees of a token.

``make`` gives one by name; each is an ``InputLayer``: a table of vectors, or vectors composed from spellings.
"""

from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.inputs.no_input import no_input
from rnnlm_jax.inputs.zoo import INPUTS, make

__all__ = ["INPUTS", "InputLayer", "make", "no_input"]
