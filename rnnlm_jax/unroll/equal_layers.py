"""Runs of equal layers, which one loop over layers can run: the program does not grow with their number."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.cells.combinators import Bidirectional, Stack

#: Fewer equal layers than this are compiled one by one. On two CPU cores the loop makes a step of training 10 to 30 %
#: longer, since what its layers keep is stacked up; forward and backward of 16, 32, 64 LSTM layers (structured) compile
#: in 2.6, 4.9, 9.5 s one by one and in 2.4, 2.8, 4.0 s as a loop.
FEWEST = 32


def runs_of_layers(stack: Stack, params: Tree, state: Tree) -> list[list[int]]:
    """The numbers of a stack's layers in order, cut where cell, parameters' or state's shapes differ.

    The lowest layer stands alone: its input is not a layer's, and nothing is added to it in a residual stack. So do
    layers that are stacks or pairs themselves.
    """

    def kind(k: int) -> Any:
        if k == 0 or isinstance(stack.layers[k], Stack | Bidirectional):
            return k
        return stack.layers[k], str(jax.tree.map(lambda a: (a.shape, a.dtype), (params[k], state[k])))

    return [list(run) for _, run in itertools.groupby(range(len(stack.layers)), kind)]


def takes_traced_layer(layer_input: Callable[[Any, Array], Array], xs: Array) -> bool:
    """Whether a function of a layer's number and input can do without knowing the number in Python."""
    try:
        changed = jax.eval_shape(layer_input, jax.ShapeDtypeStruct((), jnp.int32), xs)
    except (jax.errors.ConcretizationTypeError, TypeError):  # it asks which layer it is
        return False
    return changed.shape == xs.shape


def scan_layers(
    run: Callable[[Tree, Tree, Array, Array], tuple[Tree, Array]],
    params: list[Tree],
    state: list[Tree],
    xs: Array,
    lowest: int,
) -> tuple[list[Tree], Array]:
    """``run(params, state, xs, layer) -> (last state, xs)`` for equal layers one above the other, as one loop.

    Returns:
        the last state of each, and what the highest gives.
    """

    def stacked(trees: list[Tree]) -> Tree:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    def body(xs: Array, layer: tuple[Tree, Tree, Array]) -> tuple[Array, Tree]:
        last, xs = run(layer[0], layer[1], xs, layer[2])
        return xs, last

    numbers = jnp.arange(lowest, lowest + len(params), dtype=jnp.int32)
    xs, last = jax.lax.scan(body, xs, (stacked(params), stacked(state), numbers))
    return [jax.tree.map(lambda a, k=k: a[k], last) for k in range(len(params))], xs
