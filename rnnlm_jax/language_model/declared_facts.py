"""Facts that input and output layers declare, or do not."""

from typing import TypeVar

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.outputs.output_layer import OutputLayer

Fact = TypeVar("Fact")


def require_declared(layer: InputLayer | OutputLayer, fact: Fact | None, name: str) -> Fact:
    """Return a fact that an input or output layer declares.

    Args:
        layer: the layer.
        fact: the value of one of its fields.
        name: name of the field.

    Raises:
        ArgumentError: if the fact is None.
    """
    if fact is None:
        part = "input" if isinstance(layer, InputLayer) else "output"
        raise ArgumentError(
            f"{part} {layer.kind!r} does not declare `{name}`: give it to the layer's {type(layer).__name__}"
        )
    return fact
