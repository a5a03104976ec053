"""What may happen at a step besides the step: it can be skipped, or the state can be reset before it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_flags, as_whole_numbers
from rnnlm_jax.errors import UserError


class Control(NamedTuple):
    """Per step and sequence: whether it counts (``mask``) and whether the state starts anew before it (``resets``).

    None means: every step counts; no reset.
    """

    mask: Bool[Array, "T *B"] | None
    resets: Bool[Array, "T *B"] | None


def make_control(
    steps: int,
    batch_shape: tuple[int, ...],
    mask: Bool[Array, "T *B"] | None,
    lengths: Int[Array, "*B"] | None,
    resets: Bool[Array, "T *B"] | None,
) -> Control:
    """Lengths and mask joined in one mask, shapes and known values checked.

    Raises:
        UserError: if a shape does not fit ``[T, *B]`` (mask, resets) or ``[*B]`` (lengths), lengths are not whole
            numbers, or values that are known are not 0 or 1 (mask, resets) or not from 0 to T (lengths).
    """
    mask = None if mask is None else as_flags("mask", mask)
    lengths = None if lengths is None else as_whole_numbers("lengths", lengths, 0, steps)
    resets = None if resets is None else as_flags("resets", resets)
    for name, value, shape in (
        ("mask", mask, (steps, *batch_shape)),
        ("lengths", lengths, batch_shape),
        ("resets", resets, (steps, *batch_shape)),
    ):
        if value is not None and jnp.shape(value) != shape:
            raise UserError(f"{name} has shape {jnp.shape(value)}, but the inputs ask for {shape}")
    if lengths is not None:
        time = jnp.arange(steps, dtype=jnp.int32).reshape(steps, *(1 for _ in batch_shape))
        within = time < lengths.astype(jnp.int32)[None]
        mask = within if mask is None else jnp.logical_and(within, mask)
    return Control(mask, resets)


def select(condition: Bool[Array, "*B"], chosen: Tree, other: Tree) -> Tree:
    """Leaf by leaf, ``chosen`` where the condition holds and ``other`` elsewhere; axes beyond ``*B`` broadcast."""

    def pick(a: Array, b: Any) -> Array:
        shaped = condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim))
        return jnp.where(shaped, a, b)

    return jax.tree.map(pick, chosen, other)
