"""Select parameters by patterns over their names, such as ``embedding``, ``cell.0.*`` or ``output.b``."""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import jax

from rnnlm_jax.array_types import Tree
from rnnlm_jax.arrays.leaf_names import path_name
from rnnlm_jax.arrays.sparse_rows import is_row_gradient
from rnnlm_jax.errors import ConfigError


def leaf_names(tree: Tree) -> Tree:
    """Return a tree of the names of a tree's leaves, their paths with dots; a ``RowGradient`` is one leaf."""
    return jax.tree.map_with_path(lambda path, _: path_name(path), tree, is_leaf=is_row_gradient)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern matches a leaf's name, or the name of a part that contains the leaf.

    Patterns are those of file names: ``*`` stands for any characters, dots included, ``?`` for one, ``[…]`` for one of
    several. ``cell.0`` matches all leaves of the lowest layer, as ``cell.0.*`` does.
    """
    return any(fnmatchcase(part, pattern) for part in _parts(name) for pattern in patterns)


def _parts(name: str) -> Iterator[str]:
    """Yield a leaf's name and the names of the parts that contain it: ``cell.0.w_h``, ``cell.0``, ``cell``."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def split_patterns(patterns: str) -> tuple[str, ...]:
    """Return the patterns of a list that is separated by commas."""
    return tuple(pattern for part in patterns.split(",") if (pattern := part.strip()))


def select_leaves(names: Sequence[str], patterns: str, *, option: str) -> tuple[str, ...]:
    """Return the names that any of several patterns matches, in their order.

    Args:
        names: the names of all leaves.
        patterns: patterns, separated by commas.
        option: the option that has the patterns, for errors.

    Raises:
        ConfigError: if a pattern matches no name, or there is no pattern.
    """
    each = split_patterns(patterns)
    for pattern in each or (patterns,):
        if not any(matches(name, (pattern,)) for name in names):
            raise ConfigError(f"`{option}` {pattern!r} matches no parameter: this model has {', '.join(names)}")
    return tuple(name for name in names if matches(name, each))
