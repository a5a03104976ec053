"""What is saved of an array, and the digest that it is known by."""

import hashlib
from typing import Any

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.jobs.sharding.gather import host_value


def named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their paths: what is stored does not depend on the classes that hold it."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def on_host(arrays: dict[str, Any]) -> dict[str, Any]:
    """Copies in this process's memory, which no later step can change: a step is given its state to overwrite.

    An array that other processes hold a part of stays what it is; Orbax copies each process's part before it returns.
    """
    for leaf in arrays.values():
        if isinstance(leaf, jax.Array) and not is_spread(leaf):
            leaf.copy_to_host_async()  # all on their way before the first is waited for
    return {name: leaf if is_spread(leaf) else _own_copy(leaf) for name, leaf in arrays.items()}


def _own_copy(leaf: Any) -> np.ndarray:
    """Of an accelerator's array NumPy's is a copy anyway; of a CPU's it is the same memory."""
    elsewhere = isinstance(leaf, jax.Array) and all(device.platform != "cpu" for device in leaf.devices())
    return np.asarray(leaf) if elsewhere else np.array(leaf)


def is_spread(array: Any) -> bool:
    """Whether other processes hold a part of an array that this one does not."""
    return isinstance(array, jax.Array) and not array.is_fully_addressable


def digests(arrays: dict[str, Any]) -> dict[str, str]:
    """The digest of each of some arrays."""
    return {name: digest(value) for name, value in arrays.items()}


def digest(array: Any) -> str:
    """SHA-256 of the bytes of an array, its dtype and shape included."""
    values = np.ascontiguousarray(host_value(array))  # of the whole: all processes call this, in one order
    found = hashlib.sha256(f"{values.dtype.str}{np.shape(array)}".encode())
    found.update(values.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
