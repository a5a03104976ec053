"""Discounts of Kneser-Ney smoothing, estimated from the counts of counts of an order."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.errors import ArgumentError

DISCOUNT_KINDS = ("modified", "single")

#: Discounts for texts too small for the formulas: those of KenLM's ``--discount_fallback``, or 1/2 for a single one.
FALLBACK = {"modified": (0.5, 1.0, 1.5), "single": (0.5, 0.5, 0.5)}


class Discounts(NamedTuple):
    """The discounts of one order."""

    once: float  # D_1, for counts of 1
    twice: float  # D_2
    more: float  # D_3+
    fallback: bool  # whether the text is too small for the formulas

    def for_counts(self, counts: Int[np.ndarray, "n"]) -> np.ndarray:
        """Return the discount of each count, 0 for a count of 0."""
        return np.array([0.0, *self[:3]])[np.minimum(counts, 3)]


def estimate_discounts(kind: str, counts: Int[np.ndarray, "n"]) -> Discounts:
    """Estimate the discounts of one order from its (continuation) counts; ``n_k`` n-grams have count k.

    Modified (Chen & Goodman 1999, section 5.1):

        Y = n_1 / (n_1 + 2 n_2),   D_1 = 1 − 2 Y n_2/n_1,   D_2 = 2 − 3 Y n_3/n_2,   D_3+ = 3 − 4 Y n_4/n_3;

    single: ``D = Y`` for every count (Ney, Essen & Kneser 1994). If a divisor ``n_k`` is 0, or a discount is not
    positive or larger than its count, return the fallback. This is KenLM's rule, except that discounts of 0, which
    would leave no probability for unseen words, are replaced too.

    Raises:
        ArgumentError: ``kind`` is unknown.
    """
    if kind not in DISCOUNT_KINDS:
        raise ArgumentError(f"unknown discounts {kind!r}: choose one of {', '.join(DISCOUNT_KINDS)}")
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == k)) for k in (1, 2, 3, 4))
    if n1 and n2 and (n3 or kind == "single"):
        y = n1 / (n1 + 2 * n2)
        if kind == "single":
            return Discounts(y, y, y, fallback=False)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < discount <= count for count, discount in enumerate(found, 1)):
            return Discounts(*found, fallback=False)
    return Discounts(*FALLBACK[kind], fallback=True)
