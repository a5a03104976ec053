"""Copies of arrays to save, and the digests that verify them when they are read."""

import hashlib
from typing import Any

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.arrays.leaf_names import path_name
from rnnlm_jax.jobs.sharding.gather import host_value


def named_leaves(tree: Tree) -> dict[str, Any]:
    """Return the leaves of a tree by their paths, so that a checkpoint does not depend on the containers' classes."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_name(path): leaf for path, leaf in paths}


def host_copies(arrays: dict[str, Any]) -> dict[str, Any]:
    """Copy arrays to the memory of this process, so that later steps, to which they are donated, cannot change them.

    Arrays that span several processes are returned as they are: Orbax copies each process's part itself.
    """
    for leaf in arrays.values():
        if isinstance(leaf, jax.Array) and not spans_processes(leaf):
            leaf.copy_to_host_async()  # start all transfers before waiting for the first
    return {name: leaf if spans_processes(leaf) else _copy(leaf) for name, leaf in arrays.items()}


def _copy(leaf: Any) -> np.ndarray:
    """Return a copy; np.asarray makes one of an accelerator's array, but shares the memory of a CPU's."""
    on_accelerator = isinstance(leaf, jax.Array) and all(device.platform != "cpu" for device in leaf.devices())
    return np.asarray(leaf) if on_accelerator else np.array(leaf)


def spans_processes(array: Any) -> bool:
    """Return whether other processes hold parts of an array that this process does not."""
    return isinstance(array, jax.Array) and not array.is_fully_addressable


def digests(arrays: dict[str, Any]) -> dict[str, str]:
    """Return the digest of each array, by name."""
    return {name: digest(value) for name, value in arrays.items()}


def digest(array: Any) -> str:
    """Return the SHA-256 of an array's dtype, shape and bytes; all processes must call this in the same order."""
    values = np.ascontiguousarray(host_value(array))
    found = hashlib.sha256(f"{values.dtype.str}{np.shape(array)}".encode())
    found.update(values.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
