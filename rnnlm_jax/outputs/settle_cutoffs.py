"""Cut-offs that were left to the device, put into a configuration as numbers: whoever reads it later has the same."""

from typing import Any

import jax.numpy as jnp

from rnnlm_jax.outputs.choose_cutoffs import CostFn, choose_cutoffs
from rnnlm_jax.outputs.cutoffs import AUTO, write_cutoffs
from rnnlm_jax.outputs.product_cost import measure_cost
from rnnlm_jax.outputs.word_counts import Words

Options = tuple[tuple[str, Any], ...]


def are_open(options: Options) -> bool:
    """Whether the cut-offs are left to the device: "auto", or none at all."""
    return dict(options).get("cutoffs", AUTO) in (AUTO, None)


def settle_cutoffs(
    options: Options,
    words: Words,
    hidden_size: int,
    rows: int,
    dtype: Any = jnp.float32,
    cost: CostFn | None = None,
) -> Options:
    """The options of an ``adaptive_softmax`` with cut-offs in numbers; those that have some are not changed.

    Args:
        options: name and value, as a configuration keeps them.
        words: the vocabulary with its counts.
        hidden_size: H, of the hidden state that the layer reads.
        rows: targets a batch.
        dtype: of the products.
        cost: of a product; measured on this device unless given, in some seconds.

    Raises:
        UserError: if there are too few words or units to divide.
    """
    if not are_open(options):
        return options
    cutoffs = choose_cutoffs(
        words.counts, hidden_size, rows, None, cost or measure_cost(dtype=dtype), dict(options).get("div_value", 4)
    )
    return (*((name, value) for name, value in options if name != "cutoffs"), ("cutoffs", write_cutoffs(cutoffs)))
