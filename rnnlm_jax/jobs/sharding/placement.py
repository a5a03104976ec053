"""Shardings of the arrays of a training step on a mesh, and functions that place arrays accordingly."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Tree
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.jobs.sharding.mesh import DATA
from rnnlm_jax.language_model.model import LanguageModel


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of an array that every device has all of."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays ``[T, B]``: each device along ``data`` has some columns."""
    return NamedSharding(mesh, PartitionSpec(None, DATA))


def model_state_shardings(model: LanguageModel, mesh: Mesh) -> Tree:
    """Return the shardings of a recurrent state, of arrays ``[B, ...]``: each device along ``data`` has some rows."""
    over_data = NamedSharding(mesh, PartitionSpec(DATA))
    return jax.tree.map(lambda _: over_data, jax.eval_shape(lambda: model.initial_state((1,))))


def placed_model_state(model: LanguageModel, batch_size: int, mesh: Mesh) -> Tree:
    """Return the recurrent state before the first token, on a mesh."""
    return jax.tree.map(placed, model.initial_state((batch_size,)), model_state_shardings(model, mesh))


def own_columns(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Return the columns of a batch ``[T, B]`` that devices of this process have, ascending."""
    indices = batch_sharding(mesh).addressable_devices_indices_map((1, batch_size)).values()
    columns = np.arange(batch_size)
    return np.unique(np.concatenate([columns[index[1]] for index in indices if index is not None]))


def placed_batch(batch: Batch[np.ndarray], mesh: Mesh, batch_size: int) -> Batch[jax.Array]:
    """Return a batch of ``batch_size`` columns on a mesh.

    Args:
        batch: the columns that this process has, see ``own_columns``.
        mesh: the mesh.
        batch_size: columns of all processes.
    """

    def place(part: np.ndarray) -> jax.Array:
        shape = (part.shape[0], batch_size)
        return jax.make_array_from_process_local_data(batch_sharding(mesh), part, shape)

    return Batch(*map(place, batch))


def placed(array: np.ndarray | jax.Array, sharding: NamedSharding) -> jax.Array:
    """Return an array that every process has whole, on a mesh; each process copies the parts of its own devices."""
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def placed_tree(tree: Tree, sharding: NamedSharding) -> Tree:
    """Return arrays that every process has whole, on a mesh, all with the same sharding."""
    return jax.tree.map(lambda array: placed(array, sharding), tree)
