"""Programs that several benchmarks compile and time: a layer over time, and a spectrum of Jacobians."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax import cells, unroll
from rnnlm_jax.jacobians import spectrum

Workload = tuple[Callable[..., Any], tuple[Any, ...]]  # a function, and arguments to call it with


def layer(name: str, executor: str, shape: tuple[int, int, int], dtype: str) -> Workload:
    """Forward and backward pass of one layer of shape T, B, H."""
    _, batch, hidden = shape
    cell = cells.make(name, hidden, param_dtype=dtype)
    params, xs = cell.init(jax.random.key(0), hidden), jax.random.normal(jax.random.key(1), shape, dtype)

    def loss(params: Any, xs: Any) -> Any:
        return jnp.square(unroll(cell, params, cell.initial_state((batch,)), xs, executor=executor)[1]).sum()

    return jax.grad(loss, argnums=(0, 1)), (params, xs)


def jacobian_spectrum(name: str, hidden: int, steps: int, dtype: str) -> Workload:
    """Every log singular value of a cell's product of step Jacobians."""
    cell = cells.make(name, hidden, param_dtype=dtype)
    params, xs = cell.init(jax.random.key(0), hidden), jax.random.normal(jax.random.key(1), (steps, hidden), dtype)
    return lambda params, xs: spectrum(cell, params, cell.initial_state(()), xs), (params, xs)
