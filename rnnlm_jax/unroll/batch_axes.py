"""Merging any number of batch axes into the one that executors take."""

import math

import jax

from rnnlm_jax.array_types import Tree


def merge_batch_axes(tree: Tree, batch_shape: tuple[int, ...], before: int) -> Tree:
    """Reshape every leaf from ``[…, *B, …]`` to ``[…, prod(B), …]``.

    Executors take ``[T, B, …]`` only. This is simpler, and it keeps float64 gradients right on processors where XLA
    compiles the concatenated gates of arrays with several batch axes wrongly (``rnnlm_jax.compilation.float64_fault``).

    Args:
        tree: arrays with the same batch axes; None stays None.
        batch_shape: ``*B``.
        before: the number of axes before ``*B``: 1 for arrays over time, 0 for states.
    """
    size = math.prod(batch_shape)
    after = before + len(batch_shape)
    return jax.tree.map(lambda a: a.reshape(*a.shape[:before], size, *a.shape[after:]), tree)


def split_batch_axis(tree: Tree, batch_shape: tuple[int, ...], before: int) -> Tree:
    """Reshape every leaf back, the inverse of ``merge_batch_axes``."""
    return jax.tree.map(lambda a: a.reshape(*a.shape[:before], *batch_shape, *a.shape[before + 1 :]), tree)
