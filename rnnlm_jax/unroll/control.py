"""Masks and resets: steps that are skipped, and steps before which the state is reset."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_flags, as_whole_numbers
from rnnlm_jax.errors import ArgumentError


class Control(NamedTuple):
    """Flags of each step and sequence: whether it counts (``mask``), and whether the state is reset before it.

    None: every step counts; no resets.
    """

    mask: Bool[Array, "T *B"] | None
    resets: Bool[Array, "T *B"] | None


def make_control(
    steps: int,
    batch_shape: tuple[int, ...],
    mask: Bool[Array, "T *B"] | None,
    *,
    lengths: Int[Array, "*B"] | None,
    resets: Bool[Array, "T *B"] | None,
) -> Control:
    """Check masks, lengths and resets, and join mask and lengths in one mask.

    Args:
        steps: T.
        batch_shape: ``*B``.
        mask: which steps count.
        lengths: the number of leading steps that count.
        resets: before which steps the state is reset.

    Raises:
        ArgumentError: if a shape does not fit, lengths are not whole numbers, or known values are not 0 or 1 (mask,
            resets) or not from 0 to T (lengths).
    """
    mask = None if mask is None else as_flags("mask", mask)
    lengths = None if lengths is None else as_whole_numbers("lengths", lengths, least=0, most=steps)
    resets = None if resets is None else as_flags("resets", resets)
    for name, value, shape in (
        ("mask", mask, (steps, *batch_shape)),
        ("lengths", lengths, batch_shape),
        ("resets", resets, (steps, *batch_shape)),
    ):
        if value is not None and jnp.shape(value) != shape:
            raise ArgumentError(f"`{name}` has shape {jnp.shape(value)}, but the inputs need {shape}")
    if lengths is not None:
        time = jnp.arange(steps, dtype=jnp.int32).reshape(steps, *(1 for _ in batch_shape))
        within = time < lengths.astype(jnp.int32)[None]
        mask = within if mask is None else jnp.logical_and(within, mask)
    return Control(mask, resets)


def select(condition: Bool[Array, "*B"], chosen: Tree, other: Tree) -> Tree:
    """Return a tree with ``chosen`` where the condition holds and ``other`` elsewhere; axes after ``*B`` broadcast."""

    def select_leaf(a: Array, b: Any) -> Array:
        shaped = condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim))
        return jnp.where(shaped, a, b)

    return jax.tree.map(select_leaf, chosen, other)
