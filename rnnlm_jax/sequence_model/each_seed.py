"""A function of one seed, run for several seeds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.system.cores import usable_cores

Result = TypeVar("Result")


def for_each_seed(function: Callable[..., Result], *arguments: Tree) -> Result:
    """Return the results for all seeds; every leaf of the arguments and results has the seeds as its first axis.

    On a CPU the seeds run one after the other: what a seed needs stays in the cache, native kernels run its cell, and
    XLA's batched products of small matrices take longer than one product for each. Elsewhere they run side by side
    (``vmap``), so that several seeds cost little more than one.
    """

    def one_after_the_other(*arguments: Tree) -> Result:
        return jax.lax.map(lambda own: function(*own), arguments)

    return jax.lax.platform_dependent(*arguments, cpu=one_after_the_other, default=jax.vmap(function))


class SeedsInThreads:
    """A compiled function of several seeds that on a CPU runs one seed on each core at a time.

    The arguments before ``shared`` and the results have the seeds as the first axis of every leaf; the rest of the
    arguments are the same for all. One program of one seed is compiled, so that a seed's numbers do not depend on how
    many others there are.
    """

    def __init__(self, function: Callable[..., Tree]):
        """Wrap ``function(states, *own, shared)``; the buffers of the states are donated."""
        self._whole = jit(function, donate_argnums=0)
        self._programs: dict[Any, Callable[..., Tree]] = {}
        self._split = jit(_split, static_argnums=1)
        self._join = jit(_join)

    def __call__(self, states: Tree, *own: Tree, shared: Tree) -> Tree:
        """Return the results for all seeds."""
        first = jax.tree.leaves(states)[0]
        count = first.shape[0]
        if count == 1 or any(device.platform != "cpu" for device in first.devices()):
            return self._whole(states, *own, shared)
        problems = self._split((states, *own), count)
        program = self._program((*problems[0], shared))
        with ThreadPoolExecutor(min(usable_cores(), count)) as pool:
            results = list(pool.map(lambda problem: jax.block_until_ready(program(*problem, shared)), problems))
        return self._join(results)

    def _program(self, arguments: tuple[Tree, ...]) -> Callable[..., Tree]:
        """Return the program for arguments of these shapes, compiled here: threads do not have this one's settings."""
        leaves, structure = jax.tree.flatten(arguments)
        key = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._programs:
            self._programs[key] = self._whole.lower(*arguments).compile()
        return self._programs[key]


def _split(arguments: tuple[Tree, ...], count: int) -> list[tuple[Tree, ...]]:
    """Return the arguments of each seed, with an axis of one seed."""
    return [jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], arguments) for k in range(count)]


def _join(results: list[Tree]) -> Tree:
    """Return results of seeds as leaves with an axis of all of them."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *results)
