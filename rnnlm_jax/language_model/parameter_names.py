"""Names of a model's parameters, such as ``cell.0.w_h``, and patterns that choose among them."""

import fnmatch

import jax

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import ConfigError

#: In place of a pattern: all parameters with two axes or more.
MATRICES = "matrices"


def named_leaves(tree: Tree) -> dict[str, jax.Array]:
    """Return the leaves of a tree by name: the path of each, joined by dots."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {leaf_name(path): leaf for path, leaf in paths}


def leaf_name(path: tuple) -> str:
    """Return the name of a leaf from its path in the tree."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def matching(option: str, patterns: str, params: Tree) -> Tree:
    """Return a tree like the parameters that is True at those that one of the patterns matches.

    Args:
        option: name of the option, for errors.
        patterns: names, or patterns of the shell such as ``cell.*``, separated by commas; a pattern that matches the
            beginning of a name up to a dot matches all below it; ``matrices`` matches every parameter with two axes
            or more.
        params: the parameters, or descriptions of them.

    Raises:
        ConfigError: if a pattern matches nothing.
    """
    names = named_leaves(params)
    chosen: set[str] = set()
    for pattern in (part.strip() for part in patterns.split(",")):
        found = {name for name, leaf in names.items() if _matches(pattern, name, leaf.ndim)}
        if not found:
            raise ConfigError(f"`{option}` {pattern!r} matches no parameter: the names are {', '.join(names)}")
        chosen |= found
    return jax.tree.map_with_path(lambda path, _: leaf_name(path) in chosen, params)


def _matches(pattern: str, name: str, ndim: int) -> bool:
    if pattern == MATRICES:
        return ndim >= 2
    parts = name.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[:k]), pattern) for k in range(1, len(parts) + 1))
