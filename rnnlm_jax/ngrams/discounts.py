"""What Kneser–Ney smoothing takes off a count, from the counts of counts of an order."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.errors import DataError

DISCOUNT_KINDS = ("modified", "single")

#: What a text too small for the formulas gets: as KenLM's ``--discount_fallback``, or a half for a single discount.
FALLBACK = {"modified": (0.5, 1.0, 1.5), "single": (0.5, 0.5, 0.5)}


class Discounts(NamedTuple):
    """What is taken off counts of one, of two, and of three or more; and whether the formulas gave it."""

    once: float
    twice: float
    more: float
    fallback: bool

    def of(self, counts: Int[np.ndarray, "n"]) -> np.ndarray:
        """The discount of each count; nothing is taken off zero."""
        return np.array([0.0, *self[:3]])[np.minimum(counts, 3)]


def estimate_discounts(kind: str, counts: Int[np.ndarray, "n"]) -> Discounts:
    """The discounts of one order from its (continuation) counts, with ``n_k`` the number of types that count k.

    Modified (Chen & Goodman 1999, section 5.1):

        Y = n_1 / (n_1 + 2 n_2),   D_1 = 1 − 2 Y n_2/n_1,   D_2 = 2 − 3 Y n_3/n_2,   D_3+ = 3 − 4 Y n_4/n_3;

    single: ``D = Y`` for every count (Ney, Essen & Kneser 1994). Where an ``n_k`` that divides is 0, or a discount is
    not positive or more than its count, the fallback takes their place: KenLM's rule, but for discounts of 0, which
    would leave nothing for unseen words.

    Raises:
        DataError: for an unknown kind.
    """
    if kind not in DISCOUNT_KINDS:
        raise DataError(f"unknown discounts {kind!r}: choose one of {', '.join(DISCOUNT_KINDS)}")
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == k)) for k in (1, 2, 3, 4))
    if n1 and n2 and (n3 or kind == "single"):
        y = n1 / (n1 + 2 * n2)
        if kind == "single":
            return Discounts(y, y, y, fallback=False)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < discount <= count for count, discount in enumerate(found, 1)):
            return Discounts(*found, fallback=False)
    return Discounts(*FALLBACK[kind], fallback=True)
