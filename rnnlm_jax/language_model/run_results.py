"""What a run of a language model over some inputs gives."""

from typing import NamedTuple

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.outputs.output_layer import HiddenStates
from rnnlm_jax.unroll.observed_unroll import StatesOverTime


@serialized
class Scored(NamedTuple):
    """The number of tokens that a loss was summed over, the state after them, and terms added to the loss."""

    tokens: Int[Array, ""]
    state: Tree
    penalties: dict[str, Float[Array, ""]] = {}
    """Values of regularisers and label smoothing by name, which the loss itself does not contain."""


class Run(NamedTuple):
    """A model's cells after some inputs."""

    state: Tree
    """State after the inputs."""
    hs: HiddenStates
    """Outputs of the highest layer after dropout, as the output layer reads them."""
    raw: Float[Array, "T *B H"]
    """The same before dropout."""
    states: tuple[StatesOverTime, ...]
    """States of every single cell, the lowest layer first; empty unless they are observed."""
