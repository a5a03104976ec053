"""Arrays by name, however they come: nested dictionaries, flat ones, lists in a library's own order."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.errors import UserError

WIDE = (np.dtype(np.float32), np.dtype(np.float64))
HALF = (np.dtype(np.float16), np.dtype(jnp.bfloat16))


def flatten(arrays: object, above: str = "") -> dict[str, np.ndarray]:
    """The arrays of nested dictionaries by their path, ``{"ii": {"kernel": a}}`` as ``{"ii.kernel": a}``; no Nones.

    Slashes in names become dots.

    Raises:
        UserError: for what is no dictionary, and a leaf that is no array of numbers.
    """
    if not isinstance(arrays, Mapping):
        raise UserError(f"arrays must be given by name, as a dictionary, not as a {type(arrays).__name__}")
    found: dict[str, np.ndarray] = {}
    for key, leaf in arrays.items():
        name = f"{above}{key}".replace("/", ".")
        if isinstance(leaf, Mapping):
            found |= flatten(leaf, f"{name}.")
        elif leaf is not None:
            try:
                found[name] = np.asarray(leaf)
            except (TypeError, ValueError, RuntimeError) as error:
                reason = str(error).splitlines()[0]
                raise UserError(f"{name} cannot be read as a NumPy array ({reason}): convert it first") from error
            if found[name].dtype.kind in "OSUMm":
                raise UserError(f"{name} is a {type(leaf).__name__}, no array of numbers: leave it out")
    return found


def nest(arrays: Mapping[str, np.ndarray], levels: str) -> dict[str, Any]:
    """What ``flatten`` has flattened: dots become levels.

    Args:
        arrays: by name.
        levels: "all" dots, or the "last" only, the others being slashes then.
    """
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        above, _, last = name.rpartition(".")
        level = tree
        for part in above.split(".") if levels == "all" else [above.replace(".", "/")]:
            level = level.setdefault(part, {})
        level[last] = array
    return tree


def under(prefix: str) -> str:
    """A prefix with the dot that ends it.

    Raises:
        UserError: if it is no text.
    """
    if not isinstance(prefix, str):
        raise UserError(f"a prefix is a text such as 'rnn', not {prefix!r}")
    prefix = prefix.replace("/", ".").rstrip(".")
    return prefix and prefix + "."


def below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with ``prefix``, without it.

    Raises:
        UserError: if there are none.
    """
    start = under(prefix)
    found = {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}
    if prefix and not found:
        raise UserError(f"no array is called {start}…: {some(arrays)}")
    return found


def one_dtype(arrays: Mapping[str, np.ndarray], title: str) -> np.dtype:
    """The common type of the arrays, float32 where it is a narrower one, whose numbers are float32's too.

    Raises:
        UserError: for arrays of several types, or of numbers that are no weights.
    """
    first: tuple[str, np.dtype] | None = None
    for name, array in arrays.items():
        if array.dtype not in WIDE + HALF:
            raise UserError(f"{title}: {name} is {array.dtype}: weights are float16, bfloat16, float32 or float64")
        if first is None:
            first = name, array.dtype
        elif array.dtype != first[1]:
            raise UserError(f"{title}: {first[0]} is {first[1]} and {name} is {array.dtype}: convert them to one type")
    if first is None:
        raise UserError(f"{title}: no arrays were given")
    return first[1] if first[1] in WIDE else np.dtype(np.float32)


def some(names: Any, limit: int = 6) -> str:
    """The first few names, for a message."""
    names = [str(name) for name in names]
    shown = ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
    return f"there are {shown}" if names else "there are none"
