"""Input layers: token ids to the vectors that a cell reads, from a table or composed from spellings.

``make`` returns a layer by name.
"""

from rnnlm_jax.inputs.embedding import no_input
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.inputs.input_registry import INPUTS, make, names

__all__ = ["INPUTS", "InputLayer", "make", "names", "no_input"]
