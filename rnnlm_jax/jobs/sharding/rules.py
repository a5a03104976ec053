"""Which axis of which parameter lies over the axis ``model`` of a mesh: large tables do, all else is everywhere.

A table is divided by words. Where their number does not divide it is divided by width instead, which gives the same
numbers with other sums between devices; where neither does, every device has all of it. Nothing is padded, so that a
checkpoint does not depend on the mesh.
"""

import re
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Tree
from rnnlm_jax.jobs.sharding.mesh import MODEL
from rnnlm_jax.language_model.model import LanguageModel

#: A parameter's whole name, as ``parameter_name`` gives it, and which of its axes runs over words. The first that fits.
RULES: tuple[tuple[str, int], ...] = (
    (r"embedding", 0),
    (r"output\.softmax\.w", 1),
    (r"output\.softmax\.b", 0),
    (r"output\.(importance|nce|blackout)\.[wb]", 0),
    (r"output\.adaptive\.(head|tails\.\d+\.w)", 1),
    (r"output\.class\.word_[wb]", 0),
    (r"output\.hierarchical\.[wb]", 0),
    (r"output\.maxent\.(softmax\.word_[wb]|table)", 0),
)


class Division(NamedTuple):
    """How one parameter lies on the mesh, and in words."""

    name: str
    spec: PartitionSpec
    about: str
    """Of a table: "words", "width" or "whole"; empty for what no rule names."""


def parameter_name(model: LanguageModel, path: Any) -> str:
    """``embedding``, ``cell.0.w_x``, ``output.adaptive.tails.1.w``: a leaf's path, the output layer's kind in it."""
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    group, dot, rest = name.partition(".")
    return f"{group}.{model.output.kind}.{rest}" if group == "output" and dot else name


def divide(name: str, shape: tuple[int, ...], parts: int, rules: tuple[tuple[str, int], ...] = RULES) -> Division:
    """How a parameter of that name and shape lies over so many devices."""
    axis = next((axis for pattern, axis in rules if re.fullmatch(pattern, name)), None)
    if axis is None:
        return Division(name, PartitionSpec(), "")
    across = 1 - axis if len(shape) == 2 else axis
    for chosen, about in ((axis, "words"), (across, "width")):
        if shape[chosen] % parts == 0:
            return Division(name, PartitionSpec(*[None] * chosen, MODEL), about)
    return Division(name, PartitionSpec(), "whole")


def divisions(model: LanguageModel, parts: int) -> Tree:
    """The ``Division`` of every parameter of a model, a tree like its parameters."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map_with_path(lambda path, s: divide(parameter_name(model, path), s.shape, parts), shapes)


def parameter_shardings(model: LanguageModel, mesh: Mesh) -> Tree:
    """The sharding of every parameter of a model, a tree like its parameters."""
    found = divisions(model, mesh.shape[MODEL])
    return jax.tree.map(lambda d: NamedSharding(mesh, d.spec), found, is_leaf=_is_division)


def describe_divisions(model: LanguageModel, mesh: Mesh) -> str:
    """What lies over ``model`` and how, in words; empty where that axis has one device."""
    if mesh.shape[MODEL] == 1:
        return ""
    tables = [d for d in jax.tree.leaves(divisions(model, mesh.shape[MODEL]), is_leaf=_is_division) if d.about]
    how = {"words": "over words", "width": "over their width, since their words do not divide", "whole": "not at all"}
    parts = []
    for about, what in how.items():
        names = [d.name for d in tables if d.about == about]
        if names:
            parts.append(f"{', '.join(names)} {what}")
    return "divided over model: " + ("; ".join(parts) or "nothing, this model has no tables")


def _is_division(leaf: Any) -> bool:
    return isinstance(leaf, Division)
