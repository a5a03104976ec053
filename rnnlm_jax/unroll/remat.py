"""Rematerialisation: keep states at the borders of chunks of time, and recompute the rest in the backward pass."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import ArgumentError


def chunk_length(steps: int, remat_chunk: int | str) -> int:
    """Return the number of steps in a chunk: as given, or ⌈√T⌉ for "sqrt", which makes residuals O(√T).

    Raises:
        ArgumentError: if it is neither "sqrt" nor a positive whole number, or the number of steps is a symbol of
            ``jax.export``.
    """
    if is_symbolic_dim(steps):
        raise ArgumentError(
            "`remat_chunk` needs a known number of steps: leave it out where T is symbolic (jax.export)"
        )
    if remat_chunk == "sqrt":
        return max(1, math.isqrt(max(steps - 1, 0)) + 1)
    if not isinstance(remat_chunk, int) or isinstance(remat_chunk, bool) or remat_chunk < 1:
        raise ArgumentError(f'`remat_chunk` must be a positive number of steps or "sqrt", not {remat_chunk!r}')
    return remat_chunk


def scan_chunks(
    run: Callable[[Tree, Tree], tuple[Tree, Tree]], state: Tree, inputs: Tree, *, chunk: int, reverse: bool = False
) -> tuple[Tree, Tree]:
    """Return ``run(state, inputs) -> (state, outputs)`` over chunks of time, rematerialised in the backward pass.

    Gradients are those of ``run`` over the whole sequence: some operations are done twice (Griewank & Walther
    2000; for recurrent networks Chen et al. 2016, section 4.1). Steps that do not fill a chunk make a shorter one
    at the end.
    """
    steps = jax.tree.leaves(inputs)[0].shape[0]
    whole = steps - steps % chunk
    run = jax.checkpoint(run)

    def chunks(state: Tree) -> tuple[Tree, Tree]:
        split = jax.tree.map(lambda a: a[:whole].reshape(whole // chunk, chunk, *a.shape[1:]), inputs)
        state, outputs = jax.lax.scan(run, state, split, reverse=reverse)
        return state, jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), outputs)

    def rest(state: Tree) -> tuple[Tree, Tree]:
        return run(state, jax.tree.map(lambda a: a[whole:], inputs))

    if whole == steps:
        return chunks(state)
    if whole == 0:
        return rest(state)
    if reverse:
        state, last = rest(state)
        state, first = chunks(state)
    else:
        state, first = chunks(state)
        state, last = rest(state)
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
