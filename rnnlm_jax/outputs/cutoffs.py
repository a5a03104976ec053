"""Cut-offs between the clusters of an adaptive softmax: parsing, formatting, checks, and widths of the clusters."""

from collections.abc import Sequence
from typing import Any

from rnnlm_jax.errors import ArgumentError

#: Separates the numbers in a configuration, where a comma ends an option.
SEPARATOR = ":"
#: Stands for cut-offs that are still to be chosen.
AUTO = "auto"


def read_cutoffs(given: Any) -> tuple[int, ...]:
    """Return cut-offs from ``2000``, ``"2000:10000"`` or a sequence of numbers.

    Raises:
        ArgumentError: if they are not positive whole numbers in increasing order (equal ones would make an empty
            cluster), or not chosen yet.
    """
    if given in (AUTO, None):
        raise ArgumentError(f"`cutoffs` are not chosen yet: write numbers as in cutoffs=2000{SEPARATOR}10000")
    parts = given.split(SEPARATOR) if isinstance(given, str) else given if isinstance(given, Sequence) else (given,)
    try:
        cutoffs = tuple(int(part) for part in parts)
        whole = all(isinstance(part, str) or part == cut for part, cut in zip(parts, cutoffs, strict=True))
    except (TypeError, ValueError):
        cutoffs, whole = (), False
    if not cutoffs or not whole or any(isinstance(part, bool) for part in parts):
        raise ArgumentError(f"`cutoffs` cannot be {given!r}: write whole numbers as in cutoffs=2000{SEPARATOR}10000")
    if cutoffs[0] < 1 or any(high <= low for low, high in zip(cutoffs, cutoffs[1:], strict=False)):
        raise ArgumentError(
            f"`cutoffs` {write_cutoffs(cutoffs)} leave a cluster without words: they must be positive and increasing"
        )
    return cutoffs


def write_cutoffs(cutoffs: Sequence[int]) -> str:
    """Return cut-offs as a configuration stores them, ``"2000:10000"``."""
    return SEPARATOR.join(map(str, cutoffs))


def check_vocabulary(cutoffs: Sequence[int], vocab_size: int) -> None:
    """Check that every cluster has words.

    Raises:
        ArgumentError: if the vocabulary ends before the last cluster begins.
    """
    if cutoffs[-1] >= vocab_size:
        raise ArgumentError(
            f"`cutoffs` {write_cutoffs(cutoffs)} need more than {cutoffs[-1]} words and the vocabulary has "
            f"{vocab_size}: give smaller ones"
        )


def tail_sizes(hidden_size: int, clusters: int, div_value: float) -> tuple[int, ...]:
    """Return the units of each cluster, ``⌊H / div_value^i⌋`` for i = 1, 2, … (Grave et al. 2017, section 4).

    Raises:
        ArgumentError: if a cluster would have no units, or ``div_value`` is below 1.
    """
    if not isinstance(div_value, int | float) or isinstance(div_value, bool) or not 1 <= div_value < float("inf"):
        raise ArgumentError(f"`div_value` must be a number of at least 1, not {div_value!r}")
    sizes = tuple(int(hidden_size / div_value**i) for i in range(1, clusters + 1))
    if 0 in sizes:
        raise ArgumentError(
            f"cluster {sizes.index(0) + 1} of the adaptive softmax would have no units (hidden size {hidden_size}, "
            f"div_value {div_value:g}): give fewer cutoffs or a smaller div_value"
        )
    return sizes
