"""Sharding of parameters over the mesh axis ``model``: tables of words are sharded, all other parameters replicated.

A table is sharded over words, along the axis that its layer declares in ``word_axes``. Where the number of words does
not divide by the devices, it is sharded over its width, which gives the same numbers with other sums between devices;
where neither divides, it is replicated. Nothing is padded, so that a checkpoint does not depend on the mesh.
"""

from typing import Any, Literal, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Tree
from rnnlm_jax.arrays.leaf_names import path_name
from rnnlm_jax.jobs.sharding.mesh import MODEL
from rnnlm_jax.language_model.declared_facts import require_declared
from rnnlm_jax.language_model.model import LanguageModel

#: How a table is sharded.
Manner = Literal["words", "width", "whole"]


class ParameterSharding(NamedTuple):
    """The sharding of one parameter."""

    name: str
    spec: PartitionSpec
    manner: Manner | None
    """Of a table of words, along what it is sharded ("whole": replicated); None for other parameters."""


def shard_parameter(name: str, shape: tuple[int, ...], word_axis: int | None, devices: int) -> ParameterSharding:
    """Return the sharding of a parameter over a number of devices.

    Args:
        name: name of the parameter.
        shape: its shape.
        word_axis: its axis that runs over words, if any.
        devices: number of devices along ``model``.
    """
    if word_axis is None:
        return ParameterSharding(name, PartitionSpec(), None)
    width_axis = 1 - word_axis if len(shape) == 2 else word_axis
    manners: tuple[tuple[int, Manner], ...] = ((word_axis, "words"), (width_axis, "width"))
    for axis, manner in manners:
        if shape[axis] % devices == 0:
            return ParameterSharding(name, PartitionSpec(*[None] * axis, MODEL), manner)
    return ParameterSharding(name, PartitionSpec(), "whole")


def shard_parameters(model: LanguageModel, devices: int) -> Tree:
    """Return the ``ParameterSharding`` of every parameter of a model, a tree like its parameters.

    Raises:
        ArgumentError: if there are several devices along ``model``, and the input or output layer does not declare its
            ``word_axes``.
    """
    declared = {"embedding": model.input.word_axes, "output": model.output.word_axes}
    if devices > 1:
        for layer in (model.input, model.output):
            require_declared(layer, layer.word_axes, "word_axes")

    def shard(path: Any, shape: jax.ShapeDtypeStruct) -> ParameterSharding:
        part, _, rest = path_name(path).partition(".")
        axis = (declared.get(part) or {}).get(rest)
        return shard_parameter(_full_name(model, part, rest), shape.shape, axis, devices)

    return jax.tree.map_with_path(shard, jax.eval_shape(model.init, jax.random.key(0)))


def parameter_shardings(model: LanguageModel, mesh: Mesh) -> Tree:
    """Return the ``NamedSharding`` of every parameter of a model, a tree like its parameters."""
    found = shard_parameters(model, mesh.shape[MODEL])
    return jax.tree.map(lambda sharding: NamedSharding(mesh, sharding.spec), found, is_leaf=_is_sharding)


def describe_shardings(model: LanguageModel, mesh: Mesh) -> str:
    """Return in words which tables are sharded over ``model`` and how; empty if that axis has one device."""
    if mesh.shape[MODEL] == 1:
        return ""
    found = jax.tree.leaves(shard_parameters(model, mesh.shape[MODEL]), is_leaf=_is_sharding)
    how = {"words": "over words", "width": "over their width, since their words do not divide", "whole": "not at all"}
    parts = []
    for manner, text in how.items():
        names = [sharding.name for sharding in found if sharding.manner == manner]
        if names:
            parts.append(f"{', '.join(names)} {text}")
    return "divided over model: " + ("; ".join(parts) or "nothing, this model has no tables")


def _full_name(model: LanguageModel, part: str, rest: str) -> str:
    """Return ``embedding``, ``cell.0.w_x``, or with the output layer's kind ``output.adaptive.tails.1.w``."""
    return ".".join(filter(None, (part, model.output.kind if part == "output" else "", rest)))


def _is_sharding(leaf: object) -> bool:
    return isinstance(leaf, ParameterSharding)
