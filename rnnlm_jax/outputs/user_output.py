"""An output layer that a function of the user's own makes, checked and cached like those of the library."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.registry.user_source import call, shown


@cached_factory
def own_output(
    reference: str,
    options: tuple[tuple[str, Any], ...] = (),
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """The output layer that ``function(dtype=…, param_dtype=…, **options)`` returns.

    Args:
        reference: names the function, see ``own_source``.
        options: of the function, by name.
        dtype: of the products.
        param_dtype: of parameters and logits.

    Raises:
        UserError: if the function cannot be had or fails, or returns something else.
    """
    found = call(reference, dtype=dtype, param_dtype=param_dtype, **dict(options))
    if not isinstance(found, OutputLayer):
        raise UserError(f"{shown(reference)} must return a rnnlm_jax.outputs.OutputLayer, not {type(found).__name__}")
    return dataclasses.replace(found)  # a copy: what the function returned may be a shared object
