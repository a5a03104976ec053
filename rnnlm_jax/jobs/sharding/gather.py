"""The whole value of an array that is sharded over processes."""

import functools
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from rnnlm_jax.array_types import Array
from rnnlm_jax.compilation import jit

#: Bytes of an array that are gathered on every device at a time.
BLOCK_BYTES = 2**26


def host_value(array: Any) -> np.ndarray:
    """Return the value of an array, on whatever devices it is.

    Where other processes hold a part, all processes must call this at the same time. The array is then gathered in
    blocks of rows, so that no device has to hold a whole table that was sharded for its size.
    """
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return in_blocks(array, BLOCK_BYTES)


def in_blocks(array: jax.Array, block_bytes: int) -> np.ndarray:
    """Return the value of an array that is sharded along one axis, gathered in blocks of about that size."""
    mesh, spec = array.sharding.mesh, array.sharding.spec  # pyright: ignore[reportAttributeAccessIssue]
    axis = next(k for k, name in enumerate(spec) if name is not None)
    parts = mesh.shape[spec[axis]]
    whole = np.empty(array.shape, array.dtype)
    shards = np.split(whole, parts, axis)  # views, in the order of the devices
    length = shards[0].shape[0]
    rows = min(length, max(1, block_bytes * length // whole.nbytes))
    for first in (*range(0, length - rows, rows), length - rows):
        blocks = np.asarray(_block(array, np.int32(first), mesh=mesh, spec=spec, axis=axis, rows=rows))
        for shard, block in zip(shards, blocks, strict=True):
            shard[first : first + rows] = block
    return whole


@functools.partial(jit, static_argnames=("mesh", "spec", "axis", "rows"))
def _block(array: Array, first: Array, *, mesh: Mesh, spec: PartitionSpec, axis: int, rows: int) -> Array:
    """Return some rows of each device's shard, ``[devices, rows, ...]``, replicated."""

    def gather(part: Array, first: Array) -> Array:
        return lax.all_gather(lax.dynamic_slice_in_dim(part, first, rows), spec[axis])

    replicated = PartitionSpec()
    gathered = jax.shard_map(gather, mesh=mesh, in_specs=(spec, replicated), out_specs=replicated, check_vma=False)
    return gathered(array, first)
