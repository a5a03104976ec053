"""The layers whose memory and times are measured: one cell by several executors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, unroll
from rnnlm_jax.benchmarking.measure.jax_layer import JaxLayer
from rnnlm_jax.cells.cell_facts import Recurrence
from rnnlm_jax.unroll import Associative, Executor, Newton

Executors = dict[str, str | Executor | None]


def executors(cell: str) -> Executors:
    """Return the executors to compare for a cell, by name; None is the library's choice."""
    found: Executors = {"scan": "scan", "structured": "structured", "associative-backward": "associative-backward"}
    if cells.make(cell, 2).recurrence is Recurrence.LINEAR:
        return found | {"associative": "associative"}
    return found | {"newton": "newton"}


def whole(name: str, steps: int) -> Executor:
    """Return the executor ``associative`` or ``newton`` with all steps in one chunk."""
    return Newton(chunk=steps) if name == "newton" else Associative(chunk=steps)


def layer(name: str, cell_name: str, units: int, steps: int, executor: str | Executor | None) -> JaxLayer:
    """Return a layer with initial parameters, on one sequence of normal inputs as wide as the state."""
    cell = cells.make(cell_name, units)
    params = cell.init(jax.random.key(0), units)
    xs = np.random.default_rng(0).standard_normal((steps, 1, units), np.float32)

    def apply(params: Any, xs: jax.Array) -> jax.Array:
        return unroll(cell, params, cell.initial_state((1,)), xs, executor=executor)[1]

    def named(gradient: Any) -> dict[str, Any]:
        return {field: value for field, value in gradient._asdict().items() if value is not None}

    return JaxLayer(name, apply, params, jnp.asarray(xs), named)
