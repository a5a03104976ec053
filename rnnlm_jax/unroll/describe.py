"""Which executor runs which cell, in words."""

from collections.abc import Iterator

import jax

from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Bidirectional, Stack
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.executors import choose_executor


def describe_executor(cell: Cell, input_size: int, executor: str | None = None, platform: str | None = None) -> str:
    """Say what runs a cell, or each kind of cell in a stack: ``lstm: native, elman: structured``.

    It is for batches ``[T, B, D]`` of the cell's own dtype, without masks or resets.

    Args:
        cell: the cell, a stack, or a bidirectional pair.
        input_size: D.
        executor: the one asked for, as for ``unroll``.
        platform: what the program will run on; ``jax.default_backend()`` unless given.

    Raises:
        UserError: if the executor asked for is unknown or refuses.
    """
    platform = jax.default_backend() if platform is None else platform
    found: list[str] = []
    for part, size in parts(cell, input_size):
        params = jax.eval_shape(lambda part=part, size=size: part.init(jax.random.key(0), size))
        xs = jax.ShapeDtypeStruct((1, 1, size), part.spec.param_dtype)
        name = choose_executor(part, params, xs, Control(None, None), platform, executor)  # pyright: ignore
        found.append(f"{part.spec.kind}: {name}")
    return ", ".join(dict.fromkeys(found))


def parts(cell: Cell, input_size: int) -> Iterator[tuple[Cell, int]]:
    """The cells that step, lowest first, each with the size of its input."""
    if isinstance(cell, Stack):
        for layer in cell.layers:
            yield from parts(layer, input_size)
            input_size = layer.spec.output_size
    elif isinstance(cell, Bidirectional):
        yield from parts(cell.forward, input_size)
        yield from parts(cell.backward, input_size)
    else:
        yield cell, input_size
