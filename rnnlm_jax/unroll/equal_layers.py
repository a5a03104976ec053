"""Runs of equal layers in one loop over layers, so that the program does not grow with their number."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.cells.combinators import Bidirectional, Passed, Stack

#: Fewer equal layers than this are compiled one by one. On two CPU cores the loop makes a training step 10 to 30 %
#: longer, since its residuals are stacked; forward and backward of 16, 32, 64 LSTM layers (structured) compile in
#: 2.6, 4.9, 9.5 s one by one and in 2.4, 2.8, 4.0 s as a loop.
FEWEST_LOOPED = 32


def runs_of_layers(stack: Stack, params: Tree, state: Tree) -> list[list[int]]:
    """Return the indices of a stack's layers in order, cut where the cell or the shapes of its arrays differ.

    The lowest layer is a run of its own, since its input is not a layer's output and has no residual connection. So are
    layers that are stacks or pairs themselves.
    """

    def group(k: int) -> Any:
        if k == 0 or isinstance(stack.layers[k], Stack | Bidirectional):
            return k
        return stack.layers[k], str(jax.tree.map(lambda a: (a.shape, a.dtype), (params[k], state[k])))

    return [list(run) for _, run in itertools.groupby(range(len(stack.layers)), group)]


def takes_traced_layer(layer_input: Callable[[Any, Array], Array], xs: Array) -> bool:
    """Return whether a function of a layer's index and input accepts a traced index."""
    try:
        changed = jax.eval_shape(layer_input, jax.ShapeDtypeStruct((), jnp.int32), xs)
    except (jax.errors.ConcretizationTypeError, TypeError):  # it reads the index
        return False
    return changed.shape == xs.shape


def scan_layers(
    run: Callable[[Tree, Tree, Passed, Array], tuple[Tree, Passed]],
    params: list[Tree],
    state: list[Tree],
    passed: Passed,
    *,
    lowest: int,
) -> tuple[list[Tree], Passed]:
    """Run equal layers one above the other as one loop.

    Args:
        run: ``(params, state, passed, layer) -> (last state, passed)`` of one layer.
        params: parameters of each layer.
        state: state of each layer.
        passed: what the layers below them pass on, ``[T, B, D]``.
        lowest: index of the lowest layer.

    Returns:
        the last state of each layer, and what the highest passes on.
    """

    def stacked(trees: list[Tree]) -> Tree:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    def body(passed: Passed, layer: tuple[Tree, Tree, Array]) -> tuple[Passed, Tree]:
        last, passed = run(layer[0], layer[1], passed, layer[2])
        return passed, last

    indices = jnp.arange(lowest, lowest + len(params), dtype=jnp.int32)
    passed, last = jax.lax.scan(body, passed, (stacked(params), stacked(state), indices))
    return [jax.tree.map(lambda a, k=k: a[k], last) for k in range(len(params))], passed
