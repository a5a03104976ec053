"""Parameters that came from elsewhere, as the tuples that a cell or a model asks for, every shape checked."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError

#: In ``wanted``: whatever is given.
ANY = object()


def fitted(wanted: Tree, given: Tree, owner: str, path: str = "") -> Tree:
    """``given`` in the tuples of ``wanted``.

    Where a tuple is wanted a mapping will do, by field or, without names, by position: it is what is left of a tuple
    in a file that was read without knowing it (``flax.serialization.msgpack_restore``, Orbax).

    Args:
        wanted: a tree of anything with a shape; None stands for no parameter.
        given: the parameters.
        owner: what asks for them, for the message: "this lstm cell".
        path: where in the whole tree ``given`` lies.

    Raises:
        UserError: for the first part that is missing, unknown, of another kind of cell, or of another shape.
    """
    place = path or "the whole"
    if wanted is None:
        if given is None:
            return None
        raise UserError(f"{owner} has no parameter {path}: leave it out")
    if isinstance(wanted, tuple):
        names = _names(wanted)
        values = _values(wanted, names, given, owner, place)
        inside = [f"{path}.{name}".lstrip(".") for name in names]
        parts = [fitted(w, g, owner, p) for w, g, p in zip(wanted, values, inside, strict=True)]
        return type(wanted)(*parts) if hasattr(wanted, "_fields") else tuple(parts)
    if wanted is ANY:
        return given
    shape = getattr(given, "shape", None)
    if shape is None:
        raise UserError(f"parameter {place} is a {type(given).__name__}, but {owner} asks for an array {wanted.shape}")
    if tuple(shape) != wanted.shape:
        raise UserError(f"parameter {place} has shape {tuple(shape)}, but {owner} asks for {wanted.shape}")
    return given


def _names(wanted: tuple[Any, ...]) -> list[str]:
    """The fields of a tuple, or positions."""
    return list(getattr(wanted, "_fields", map(str, range(len(wanted)))))


def _values(wanted: tuple[Any, ...], names: list[str], given: Tree, owner: str, place: str) -> list[Any]:
    """What is given for each entry of a tuple."""
    kind = type(wanted).__name__
    if isinstance(given, Mapping):
        by_name = {str(name): value for name, value in given.items()}
        optional = {name for name, part in zip(names, wanted, strict=True) if part is None}
        missing = [name for name in names if name not in by_name and name not in optional]
        unknown = [name for name in by_name if name not in names]
        if missing or unknown:
            what = f"misses {', '.join(missing)}" if missing else f"has {', '.join(unknown)}, which is unknown"
            raise UserError(f"{place} of the parameters {what}: {owner} asks for {', '.join(names)}")
        return [by_name.get(name) for name in names]
    named = hasattr(wanted, "_fields")
    if named != hasattr(given, "_fields") or (named and type(given).__name__ != kind):
        raise UserError(f"{place} of the parameters is a {type(given).__name__}: {owner} asks for a {kind}")
    if not isinstance(given, list | tuple) or len(given) != len(wanted):
        raise UserError(f"{place} of the parameters does not have the {len(wanted)} entries that {owner} asks for")
    return list(given)


@functools.lru_cache(maxsize=256)
def shapes_of(init: Callable[..., Tree], *args: Any) -> Tree:
    """The shapes and dtypes of ``init(key, *args)``: nothing is drawn, and ``init`` is traced once."""
    return jax.eval_shape(lambda: init(jax.random.key(0), *args))


def input_size_of(cell: Cell, params: Tree) -> int:
    """D, as the shapes of a cell's parameters tell it: the axis that grows with D says how large D is.

    Raises:
        UserError: if they are no parameters of the cell, for any D.
    """
    owner = f"this {cell.spec.kind} cell"
    one, two = shapes_of(cell.init, 1), shapes_of(cell.init, 2)
    named = fitted(jax.tree.map(lambda _: ANY, one), params, owner)
    for small, large, have in zip(*map(jax.tree.leaves, (one, two, named)), strict=True):
        for axis, (first, second) in enumerate(zip(small.shape, large.shape, strict=True)):
            if first != second and np.ndim(have) == len(small.shape):
                return max(1, (have.shape[axis] - first) // (second - first) + 1)
    return 1
