"""Array types on meshes: axes of ``shard_map`` over which values vary, and axes with explicit sharding.

Outside ``shard_map``, or with its ``check_vma=False``, and without a mesh of explicit axes, these functions return
their arguments.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Array, Tree


def varying_axes(tree: Tree) -> frozenset[str]:
    """Return the axes of ``shard_map`` over which any array of a tree varies."""
    return frozenset().union(*(jax.typeof(leaf).manual_axis_type.varying for leaf in jax.tree.leaves(tree)))


def vary_together(tree: Tree) -> Tree:
    """Return a tree whose arrays all vary over the same axes of ``shard_map``: those of any of them.

    Loops, primitives and custom derivatives need arguments of one such type. The transpose is the sum over devices that
    forms the gradient of a replicated parameter.
    """
    axes = varying_axes(tree)
    return jax.tree.map(lambda leaf: vary_over(leaf, axes), tree) if axes else tree


def vary_over(array: Any, axes: frozenset[str]) -> Any:
    """Return an array that also varies over ``axes`` of ``shard_map``."""
    missing = axes - varying_axes(array)
    return jax.lax.pcast(array, tuple(sorted(missing)), to="varying") if missing else array


def zeros_of(aval: Any) -> Array:
    """Return zeros of the shape, dtype and varying axes of an abstract value."""
    return vary_over(jnp.zeros(aval.shape, aval.dtype), aval.manual_axis_type.varying)


def explicit_spec(array: Any) -> list[Any]:
    """Return the mesh axes over which each axis of an array is explicitly sharded; None for an axis that is not."""
    spec = list(jax.typeof(array).sharding.spec)
    return spec + [None] * (jnp.ndim(array) - len(spec))


def has_explicit_axes(tree: Tree) -> bool:
    """Return whether any array of a tree lies on a mesh of explicit axes."""
    return _explicit_mesh(tree)[0] is not None


def without_explicit_axes(run: Callable[..., Tree], arguments: tuple[Tree, ...], specs: Tree) -> Tree:
    """Return ``run(*arguments)``, computed with the sharding inside left to the compiler.

    Args:
        run: a function of arrays.
        arguments: its arguments.
        specs: a ``PartitionSpec`` for each result; read if arguments are on a mesh of explicit axes.
    """
    mesh, axes = _explicit_mesh(arguments)
    if mesh is None:
        return run(*arguments)
    shardings = jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda leaf: isinstance(leaf, PartitionSpec)
    )
    return jax.sharding.auto_axes(run, axes=axes, out_sharding=shardings)(*arguments)


def _explicit_mesh(tree: Tree) -> tuple[Any, tuple[str, ...]]:
    """Return the mesh with explicit axes on which a tree's arrays lie, and those axes; None and () without one."""
    for leaf in jax.tree.leaves(tree):
        mesh = jax.typeof(leaf).sharding.mesh
        kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
        if axes := tuple(name for name, kind in kinds if kind == AxisType.Explicit):
            return mesh, axes
    return None, ()
