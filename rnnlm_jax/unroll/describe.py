"""A description of the executors that run a cell."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Bidirectional, Stack
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.executor import Executor
from rnnlm_jax.unroll.executors import choose_executor


def describe_executor(
    cell: Cell,
    input_size: int,
    executor: str | Executor | None = None,
    *,
    platform: str | None = None,
    masked: bool = False,
) -> str:
    """Return the executor of each kind of cell, as text: ``lstm: native, elman: structured``.

    It holds for batches ``[T, B, D]`` in the cell's own dtype, without resets.

    Args:
        cell: the cell, a stack, or a bidirectional pair.
        input_size: D.
        executor: the requested executor, as for ``unroll``.
        platform: the platform of the program; ``jax.default_backend()`` unless given.
        masked: whether there is a mask.

    Raises:
        ArgumentError: if the requested executor is unknown.
        DeviceError: if it cannot run the cell.
    """
    platform = jax.default_backend() if platform is None else platform
    found: list[str] = []
    for part, size in single_cells(cell, input_size):
        params = jax.eval_shape(lambda part=part, size=size: part.init(jax.random.key(0), size))
        xs = jax.eval_shape(lambda part=part, size=size: jnp.zeros((1, 1, size), part.spec.param_dtype))
        mask = jax.eval_shape(lambda: jnp.zeros((1, 1), bool)) if masked else None
        name = choose_executor(part, params, xs, Control(mask, None), platform=platform, executor=executor)
        found.append(f"{part.spec.kind}: {name}")
    return ", ".join(dict.fromkeys(found))


def single_cells(cell: Cell, input_size: int) -> Iterator[tuple[Cell, int]]:
    """Yield the cells inside stacks and pairs, lowest first, each with the size of its input."""
    if isinstance(cell, Stack):
        for layer in cell.layers:
            yield from single_cells(layer, input_size)
            input_size = layer.spec.output_size
    elif isinstance(cell, Bidirectional):
        yield from single_cells(cell.forward, input_size)
        yield from single_cells(cell.backward, input_size)
    else:
        yield cell, input_size
