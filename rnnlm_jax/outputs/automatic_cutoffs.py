"""Automatic cut-offs of an adaptive softmax: chosen on this device, and stored in the options as numbers."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.outputs.choose_cutoffs import CostFn, choose_cutoffs
from rnnlm_jax.outputs.cutoffs import AUTO, write_cutoffs
from rnnlm_jax.outputs.product_cost import measure_cost
from rnnlm_jax.outputs.word_counts import WordCounts

Options = tuple[tuple[str, Any], ...]


def has_automatic_cutoffs(output: str, options: Options) -> bool:
    """Return whether an output layer needs cut-offs and its options have "auto", or none at all.

    Args:
        output: name of the output layer.
        options: names and values, as a configuration stores them.
    """
    return output == "adaptive" and dict(options).get("cutoffs", AUTO) in (AUTO, None)


def resolve_cutoffs(
    options: Options,
    words: WordCounts,
    hidden_size: int,
    *,
    rows: int,
    dtype: str | np.dtype | type = jnp.float32,
    cost: CostFn | None = None,
) -> Options:
    """Return the options of an ``adaptive_softmax`` with cut-offs in numbers; those that have some are not changed.

    Args:
        options: names and values, as a configuration stores them.
        words: vocabulary with word counts.
        hidden_size: H, units that the layer reads.
        rows: targets per batch.
        dtype: dtype of the products.
        cost: cost of a product; None measures it on this device, which takes some seconds.

    Raises:
        ArgumentError: if there are too few words or units to divide.
    """
    if not has_automatic_cutoffs("adaptive", options):
        return options
    div_value = dict(options).get("div_value", 4)
    cost = cost or measure_cost(dtype=dtype)
    cutoffs = choose_cutoffs(words.counts, hidden_size, rows, clusters=None, cost=cost, div_value=div_value)
    return (*((name, value) for name, value in options if name != "cutoffs"), ("cutoffs", write_cutoffs(cutoffs)))
