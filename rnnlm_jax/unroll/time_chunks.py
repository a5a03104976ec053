"""Chunks of time for the parallel executors: their memory grows with the length of a chunk."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.unroll.control import Control

#: The name under which states are kept for the backward pass of a chunk; everything else in it is recomputed.
STATES = "states of a parallel executor"

#: (state, projected inputs, control) of a chunk -> (states after each step, further results)
ChunkFn = Callable[[Tree, Array, Control], tuple[Tree, Tree]]


def run_chunks(run: ChunkFn, state: Tree, zs: Array, control: Control, *, chunk: int) -> tuple[Tree, Tree, Tree]:
    """Run chunks of time one after the other.

    Steps that fill up the last chunk are masked. The backward pass keeps the states and recomputes the rest of each
    chunk, so that it needs memory for one chunk, and no chunk is solved twice.

    Args:
        run: runs a chunk.
        state: the state before the first step.
        zs: the projected inputs, ``[T, B, ·]``.
        control: masks and resets.
        chunk: steps in a chunk.

    Returns:
        the state after the last step, the states after every step, and the further results of every chunk, stacked.
    """
    steps = zs.shape[0]
    if steps <= chunk:
        states, more = run(state, zs, control)
        return last_of(state, states), states, jax.tree.map(lambda a: a[None], more)
    count = -(-steps // chunk)
    zs, control = _filled(zs, control, count * chunk)

    def body(state: Tree, inputs: tuple[Array, Control]) -> tuple[Tree, tuple[Tree, Tree]]:
        states, more = run(state, *inputs)
        return last_of(state, states), (states, more)

    keep_states = jax.checkpoint_policies.save_only_these_names(STATES)
    split = jax.tree.map(lambda a: a.reshape(count, chunk, *a.shape[1:]), (zs, control))
    final, (states, more) = jax.lax.scan(jax.checkpoint(body, policy=keep_states), state, split)
    states = jax.tree.map(lambda a: a.reshape(count * chunk, *a.shape[2:])[:steps], states)
    return final, states, more


def last_of(state: Tree, states: Tree) -> Tree:
    """Return the state after the last step; the state before the first if there are no steps."""
    return jax.tree.map(lambda first, after: after[-1] if after.shape[0] else first, state, states)


def _filled(zs: Array, control: Control, steps: int) -> tuple[Array, Control]:
    def fill(a: Array) -> Array:
        return jnp.pad(a, ((0, steps - a.shape[0]), *((0, 0) for _ in a.shape[1:])))

    mask = jnp.ones(zs.shape[:2], bool) if control.mask is None else control.mask
    return fill(zs), Control(fill(mask), None if control.resets is None else fill(control.resets))
