"""The number of units that gives a language model of a cell the wanted number of parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from experiments.every_cell import count, smallest_multiple
from rnnlm_jax import cells, outputs
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.errors import ArgumentError


def model_size(config: ModelConfig, vocab_size: int) -> int:
    """Return the number of parameters of a model with one layer, an embedding and any output layer, by shapes alone."""
    cell = cells.make(config.cell, config.hidden_size, **dict(config.cell_options))
    output = outputs.make(config.output, None, False, **dict(config.output_options))
    key, width = jax.random.key(0), config.embedding_size or cell.spec.output_size
    of_cell: Any = jax.eval_shape(lambda: cell.init(key, width))
    of_output: Any = jax.eval_shape(lambda: output.init(key, cell.spec.output_size, vocab_size))
    return vocab_size * width + count(of_cell) + count(of_output)


#: The fewest units of a model: those of the tail of its output layer are a fraction of them.
FEWEST = 32


def nearest_size(size_of: Callable[[int], int], wanted: int, multiple: int = 1) -> int:
    """Return the multiple of ``multiple`` from ``FEWEST`` on whose ``size_of`` is nearest to ``wanted``.

    Args:
        size_of: an increasing function.
        wanted: the value to come near.
        multiple: what the result is a multiple of.

    Raises:
        ArgumentError: if the smallest such multiple is more than a tenth too large.
    """
    low = -(-FEWEST // multiple)
    if size_of(low * multiple) > 1.1 * wanted:
        fewest = size_of(low * multiple)
        raise ArgumentError(f"{fewest:,} parameters are the fewest, and {wanted:,} are wanted: raise `parameters`")
    high = 2 * low  # size_of(low · multiple) is at most the wanted one, or low is the first; that of high is above it
    while size_of(high * multiple) <= wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size_of(middle * multiple) <= wanted else (low, middle)
    return min((low * multiple, high * multiple), key=lambda size: abs(size_of(size) - wanted))


def with_size(config: ModelConfig, vocab_size: int, wanted: int) -> ModelConfig:
    """Return a configuration with the ``hidden_size`` whose number of parameters is nearest to the wanted one.

    Raises:
        ArgumentError: if the smallest model is more than a tenth too large.
    """

    def sized(hidden_size: int) -> ModelConfig:
        return dataclasses.replace(config, hidden_size=hidden_size)

    multiple = smallest_multiple(config.cell)
    return sized(nearest_size(lambda size: model_size(sized(size), vocab_size), wanted, multiple))
