"""A mesh of devices, and where a step's arguments lie on it: large tables over ``model``, batches over ``data``."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import UserError
from rnnlm_jax.training.step import TrainState

AXES = ("data", "model")


def make_mesh(text: str | None, devices: Sequence[Any]) -> Mesh:
    """The mesh of ``"data=8,model=2"``; all devices along ``data`` unless given.

    Raises:
        UserError: if the text is no mesh, or not of as many devices.
    """
    lengths = dict.fromkeys(AXES, 1) | ({"data": len(devices)} if text is None else {})
    for part in [] if text is None else text.split(","):
        name, _, length = (word.strip() for word in part.partition("="))
        if name not in AXES or not length.isdecimal() or int(length) < 1:
            raise UserError(f"--mesh cannot be {text!r}: give lengths, as in data=8,model=2")
        lengths[name] = int(length)
    shape = tuple(lengths[name] for name in AXES)
    if math.prod(shape) != len(devices):
        raise UserError(f"--mesh {text} is of {math.prod(shape)} devices, and there are {len(devices)}: change it")
    return Mesh(np.asarray(devices).reshape(shape), AXES, axis_types=(AxisType.Auto,) * 2)


def state_shardings(state: TrainState, vocabulary: int, mesh: Mesh) -> TrainState:
    """Where each array of the state lies: a table's words over ``model``, or its width where they do not divide."""
    parts = mesh.shape["model"]

    def table(leaf: Any) -> NamedSharding:
        axis = next((k for k, size in enumerate(leaf.shape) if size >= vocabulary - 1), None)
        order = [] if axis is None else [axis, *(k for k in range(len(leaf.shape)) if k != axis)]
        chosen = next((k for k in order if leaf.shape[k] % parts == 0), None)
        return NamedSharding(mesh, PartitionSpec(*([None] * chosen + ["model"] if chosen is not None else [])))

    everywhere = jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), state)
    return everywhere._replace(
        params=jax.tree.map(table, state.params),
        opt_state=jax.tree.map(table, state.opt_state),
        model_state=jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec("data")), state.model_state),
    )


def placed(shapes: Tree, shardings: Tree) -> Tree:
    """Descriptions of arrays, with where they lie."""
    return jax.tree.map(lambda a, where: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), shapes, shardings)
