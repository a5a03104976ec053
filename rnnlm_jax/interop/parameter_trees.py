"""Parameters of unknown origin as the NamedTuples of a cell or a model, every shape checked."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import WeightsError

#: A leaf of ``expected`` that accepts any value.
ANY = object()


def fit_tree(expected: Tree, params: Tree, owner: str, *, path: str = "") -> Tree:
    """Return parameters in the tuples of ``expected``.

    A mapping is accepted for a tuple, keyed by field or, for a tuple without names, by position: readers that do not
    have the class return tuples so (``flax.serialization.msgpack_restore``, Orbax).

    Args:
        expected: a tree of leaves with a shape; None stands for a parameter that does not exist.
        params: the parameters.
        owner: the cell or model that they are for, as messages name it: "this lstm cell".
        path: the path of ``params`` in the whole tree.

    Raises:
        WeightsError: for the first part that is missing, unknown, of another kind of cell, or of another shape.
    """
    place = path or "the whole"
    if expected is None:
        if params is None:
            return None
        raise WeightsError(f"{owner} has no parameter {path}: leave it out")
    if isinstance(expected, tuple):
        names = _entry_names(expected)
        values = _entries(expected, names, params, owner=owner, place=place)
        paths = [f"{path}.{name}".lstrip(".") for name in names]
        parts = [fit_tree(e, v, owner, path=p) for e, v, p in zip(expected, values, paths, strict=True)]
        return type(expected)(*parts) if hasattr(expected, "_fields") else tuple(parts)
    if expected is ANY:
        return params
    shape = getattr(params, "shape", None)
    if shape is None:
        raise WeightsError(
            f"parameter {place} is a {type(params).__name__}, but {owner} needs an array {expected.shape}"
        )
    if tuple(shape) != expected.shape:
        raise WeightsError(f"parameter {place} has shape {tuple(shape)}, but {owner} needs {expected.shape}")
    return params


def _entry_names(expected: tuple[Any, ...]) -> list[str]:
    """Return the fields of a tuple, or its positions if it has no names."""
    return list(getattr(expected, "_fields", map(str, range(len(expected)))))


def _entries(expected: tuple[Any, ...], names: list[str], params: Tree, *, owner: str, place: str) -> list[Any]:
    """Return the value given for each entry of a tuple."""
    kind = type(expected).__name__
    if isinstance(params, Mapping):
        by_name = {str(name): value for name, value in params.items()}
        optional = {name for name, part in zip(names, expected, strict=True) if part is None}
        missing = [name for name in names if name not in by_name and name not in optional]
        unknown = [name for name in by_name if name not in names]
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}, which is unknown"
            raise WeightsError(f"{place} of the parameters {what}: {owner} needs {', '.join(names)}")
        return [by_name.get(name) for name in names]
    named = hasattr(expected, "_fields")
    if named != hasattr(params, "_fields") or (named and type(params).__name__ != kind):
        raise WeightsError(f"{place} of the parameters is a {type(params).__name__}: {owner} needs a {kind}")
    if not isinstance(params, list | tuple) or len(params) != len(expected):
        raise WeightsError(f"{place} of the parameters does not have the {len(expected)} entries that {owner} needs")
    return list(params)


@functools.lru_cache(maxsize=256)
def shapes_of(init: Callable[..., Tree], *args: Any) -> Tree:
    """Return the shapes and dtypes of ``init(key, *args)``, without drawing numbers; ``init`` is traced once."""
    return jax.eval_shape(lambda: init(jax.random.key(0), *args))


def input_size_of(cell: Cell, params: Tree) -> int:
    """Return D, inferred from the axis of a cell's parameters that grows with D.

    Raises:
        WeightsError: if these are not parameters of the cell, for any D.
    """
    owner = f"this {cell.spec.kind} cell"
    one, two = shapes_of(cell.init, 1), shapes_of(cell.init, 2)
    named = fit_tree(jax.tree.map(lambda _: ANY, one), params, owner)
    for small, large, leaf in zip(*map(jax.tree.leaves, (one, two, named)), strict=True):
        for axis, (first, second) in enumerate(zip(small.shape, large.shape, strict=True)):
            if first != second and np.ndim(leaf) == len(small.shape):
                return max(1, (leaf.shape[axis] - first) // (second - first) + 1)
    return 1
