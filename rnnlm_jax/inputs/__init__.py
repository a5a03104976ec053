"""Input layers: what a cell sees of a token.

``make`` gives one by name; each is an ``InputLayer``: a table of vectors, or vectors composed from spellings.
"""

from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.inputs.input_registry import INPUTS, make, names
from rnnlm_jax.inputs.no_input import no_input

__all__ = ["INPUTS", "InputLayer", "make", "names", "no_input"]
