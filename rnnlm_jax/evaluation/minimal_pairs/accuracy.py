"""Share of pairs that a model gets right, with a confidence interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

#: Quantile of the normal distribution for a two-sided interval of 95 %.
Z = 1.959963984540054


@dataclass(frozen=True)
class Accuracy:
    """Counts of pairs that are right, and undecided.

    A pair with equal probabilities is undecided and counts as half right: that is what a guess gets on average, so a
    model that does not distinguish the sentences has an accuracy of 50 %. Counted as wrong, ties would bring a model
    with a small vocabulary, in which both words are unknown, below chance.
    """

    pairs: int
    right: int
    """Pairs whose acceptable side has the higher probability."""
    ties: int
    """Pairs whose sides have equal probabilities."""

    @property
    def value(self) -> float:
        """``(right + ties / 2) / pairs``; NaN without pairs."""
        return (self.right + self.ties / 2) / self.pairs if self.pairs else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of 95 % confidence, of ``wilson_interval``."""
        return wilson_interval(self.value, self.pairs)

    def __add__(self, other: "Accuracy") -> "Accuracy":
        """Return the accuracy on the pairs of both."""
        return Accuracy(self.pairs + other.pairs, self.right + other.right, self.ties + other.ties)

    def summary(self) -> dict[str, Any]:
        """Return the figures by name; None for an accuracy without pairs."""
        low, high = self.interval
        return {
            "accuracy": None if math.isnan(self.value) else self.value,
            "interval": None if math.isnan(low) else [low, high],
            "pairs": self.pairs,
            "right": self.right,
            "ties": self.ties,
        }


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Return the score interval of 95 % confidence for a probability (Wilson 1927).

    The probabilities p that a normal test does not reject, ``|share - p| ≤ z sqrt(p (1 - p) / count)``:
    ``(share + z²/2n ± z sqrt(share (1 - share) / n + z²/4n²)) / (1 + z²/n)``. It stays within 0 and 1, and is not empty
    for a share of 0 or 1.

    Args:
        share: observed share.
        count: number of pairs n; without pairs the interval is NaN.
    """
    if not count:
        return math.nan, math.nan
    centre = share + Z**2 / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def accuracy_of(differences: ArrayLike) -> Accuracy:
    """Return the accuracy of pairs with given differences ``ln P(good) - ln P(bad)``; NaN is a tie of two zeros."""
    values = np.asarray(differences, np.float64)
    right, wrong = int(np.count_nonzero(values > 0)), int(np.count_nonzero(values < 0))
    return Accuracy(values.size, right, values.size - right - wrong)


class DistanceBin(NamedTuple):
    """Pairs of neighbouring distances."""

    first: int
    last: int
    mean: float
    """Mean distance of its pairs."""
    accuracy: Accuracy

    def summary(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {"first": self.first, "last": self.last, "mean": self.mean} | self.accuracy.summary()


def distance_bins(distances: Mapping[int, Accuracy], least: int) -> list[DistanceBin]:
    """Return neighbouring distances together, so that each bin has enough pairs.

    Args:
        distances: accuracy by distance, in increasing order.
        least: least number of pairs of a bin, unless there are fewer in all; the last bin takes the pairs left over.
    """
    bins: list[dict[int, Accuracy]] = []
    open_bin: dict[int, Accuracy] = {}
    for distance, accuracy in distances.items():
        open_bin[distance] = accuracy
        if sum(part.pairs for part in open_bin.values()) >= least:
            bins.append(open_bin)
            open_bin = {}
    if open_bin and bins:
        bins[-1] |= open_bin
    elif open_bin:
        bins.append(open_bin)
    return [_bin(parts) for parts in bins]


def _bin(parts: Mapping[int, Accuracy]) -> DistanceBin:
    accuracy = sum(parts.values(), Accuracy(0, 0, 0))
    mean = sum(distance * part.pairs for distance, part in parts.items()) / accuracy.pairs
    return DistanceBin(min(parts), max(parts), mean, accuracy)
