"""Arrays by name: nested and flat dictionaries, prefixes, common dtypes."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.errors import WeightsError

#: The dtypes that parameters may have, and those that are read as float32.
PARAM_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
HALF_DTYPES = (np.dtype(np.float16), np.dtype(jnp.bfloat16))


def flatten(arrays: object, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the arrays of nested dictionaries by path, ``{"ii": {"kernel": a}}`` as ``{"ii.kernel": a}``.

    Slashes in names become dots; None values are left out.

    Raises:
        WeightsError: if ``arrays`` is not a dictionary, or a leaf is not an array of numbers.
    """
    if not isinstance(arrays, Mapping):
        raise WeightsError(f"`arrays` must be given by name, as a dictionary, not as a {type(arrays).__name__}")
    found: dict[str, np.ndarray] = {}
    for key, leaf in arrays.items():
        name = f"{prefix}{key}".replace("/", ".")
        if isinstance(leaf, Mapping):
            found |= flatten(leaf, f"{name}.")
        elif leaf is not None:
            try:
                found[name] = np.asarray(leaf)
            except (TypeError, ValueError, RuntimeError) as error:
                reason = str(error).splitlines()[0]
                raise WeightsError(f"{name} cannot be read as a NumPy array ({reason}): convert it first") from error
            if found[name].dtype.kind in "OSUMm":
                raise WeightsError(f"{name} is a {type(leaf).__name__}, not an array of numbers: leave it out")
    return found


def nest(arrays: Mapping[str, np.ndarray], levels: str) -> dict[str, Any]:
    """Return the nested dictionary of arrays by path; the inverse of ``flatten``.

    Args:
        arrays: by path.
        levels: which dots become levels: "all", or the "last" only, the others becoming slashes.
    """
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        above, _, last = name.rpartition(".")
        level = tree
        for part in above.split(".") if levels == "all" else [above.replace(".", "/")]:
            level = level.setdefault(part, {})
        level[last] = array
    return tree


def dotted_prefix(prefix: str) -> str:
    """Return a prefix with a dot at its end; "" stays empty.

    Raises:
        WeightsError: if it is not a string.
    """
    if not isinstance(prefix, str):
        raise WeightsError(f"`prefix` is a string such as 'rnn', not {prefix!r}")
    prefix = prefix.replace("/", ".").rstrip(".")
    return prefix and prefix + "."


def select_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with ``prefix``, without it.

    Raises:
        WeightsError: if no name does.
    """
    start = dotted_prefix(prefix)
    found = {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}
    if prefix and not found:
        raise WeightsError(f"no array is called {start}…: {list_names(arrays)}")
    return found


def common_dtype(arrays: Mapping[str, np.ndarray], title: str) -> np.dtype:
    """Return the common dtype of arrays: float32 for half precision, which float32 represents exactly.

    Raises:
        WeightsError: for arrays of several dtypes, or of a dtype that weights do not have.
    """
    first: tuple[str, np.dtype] | None = None
    for name, array in arrays.items():
        if array.dtype not in PARAM_DTYPES + HALF_DTYPES:
            raise WeightsError(f"{title}: {name} is {array.dtype}: weights are float16, bfloat16, float32 or float64")
        if first is None:
            first = name, array.dtype
        elif array.dtype != first[1]:
            raise WeightsError(f"{title}: {first[0]} is {first[1]} and {name} is {array.dtype}: use one dtype")
    if first is None:
        raise WeightsError(f"{title}: no arrays were given")
    return first[1] if first[1] in PARAM_DTYPES else np.dtype(np.float32)


def list_names(names: Iterable[object], limit: int = 6) -> str:
    """Return the first few names, for a message."""
    names = [str(name) for name in names]
    shown = ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
    return f"there are {shown}" if names else "no arrays were given"
