"""The windows that streams of text are cut into for truncated back-propagation through time: of one length, or random.

Windows of an epoch are consecutive and cover every stream, so each token is a target exactly once. Random lengths are a
function of (seed, epoch, number of the window), so that every process and every reader has the same ones, and a resumed
run goes on with those of an uninterrupted one.
"""

from __future__ import annotations

import abc
import functools
import math
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.errors import ArgumentError

#: Deviations above the base length at which a random length is cut off; 0.1 % of the lengths are.
DEVIATIONS = 3
#: Most lengths that are candidates for the length that windows are padded to.
_CANDIDATES = 256


@dataclass(frozen=True)
class RandomBptt:
    """Random length of truncated back-propagation through time (Merity, Keskar & Socher 2018, section 4.1).

        l ~ N(T, σ²) with probability p, else l ~ N(T / 2, σ²),

    rounded to a whole number of steps, not below ``minimum`` and not above ``T + 3 σ``. Tokens at the end of a window
    are at other places in each epoch, so no token always misses the gradient of the tokens after it. The learning rate
    of a window should be multiplied by ``l / T``.

    A compiled step has fixed shapes, so windows are padded to one of a few lengths. These are chosen such that the
    expected padding is least: of T = 70 steps, 25 % with one shape, 5.6 % with four, 3.3 % with six, 2.3 % with eight.

    Args:
        probability: p, the probability of the full base length T; otherwise it is half of T.
        deviation: σ, standard deviation of the length, in steps.
        minimum: least length, in steps.
        shapes: number of padded lengths, each of which is compiled once.

    Raises:
        ArgumentError: if an argument is out of range.
    """

    probability: float = 0.95
    deviation: float = 5.0
    minimum: int = 5
    shapes: int = 6

    def __post_init__(self) -> None:
        """Check the arguments."""
        for name, low, high in (("probability", 0, 1), ("deviation", 0, 2**20)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                raise ArgumentError(f"`{name}` of random windows must be a number from {low} to {high}, not {value!r}")
        for name in ("minimum", "shapes"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"`{name}` of random windows must be a whole number from 1 on, not {value!r}")

    def longest(self, bptt: int) -> int:
        """Return the length at which random lengths are cut off, for a base length."""
        mean = bptt if self.probability else bptt / 2
        return max(math.ceil(mean + DEVIATIONS * self.deviation), self.minimum)

    def padded_lengths(self, bptt: int) -> tuple[int, ...]:
        """Return the lengths that windows are padded to, ascending, for a base length."""
        return _padded_lengths(self, bptt)

    def ends(self, bptt: int, steps: int, *, seed: int, epoch: int) -> np.ndarray:
        """Return the step at which each window of an epoch ends, exclusive, int64 ``[n]``; the last one is ``steps``.

        Args:
            bptt: base length T.
            steps: length of the streams.
            seed: seed of the run.
            epoch: number of the epoch, from 0.
        """
        coins, normals = (np.random.default_rng([seed, epoch, source]) for source in (1, 2))
        parts, total = [], 0
        while total < steps:
            count = (steps - total) // bptt + 16  # any number gives the same lengths
            base = np.where(coins.random(count) < self.probability, bptt, bptt / 2)
            drawn = np.rint(base + self.deviation * normals.standard_normal(count)).astype(np.int64)
            parts.append(np.clip(drawn, self.minimum, self.longest(bptt)))
            total += int(parts[-1].sum())
        ends = np.cumsum(np.concatenate(parts))
        ends = ends[: np.searchsorted(ends, steps) + 1]
        ends[-1] = steps
        return ends

    def density(self, bptt: int) -> tuple[np.ndarray, np.ndarray]:
        """Return all possible lengths, ascending, and their probabilities, for a base length."""
        lengths = np.arange(self.minimum, self.longest(bptt) + 1)
        inner = lengths[:-1] + 0.5  # between two lengths

        def below(mean: float) -> np.ndarray:
            scale = max(self.deviation, 1e-9) * math.sqrt(2)
            values = [0.5 * (1 + math.erf((edge - mean) / scale)) for edge in inner.tolist()]
            return np.diff(np.array([0.0, *values, 1.0]))

        density = self.probability * below(bptt) + (1 - self.probability) * below(bptt / 2)
        return lengths[density > 0], density[density > 0]


@functools.lru_cache(maxsize=16)
def _padded_lengths(random: RandomBptt, bptt: int) -> tuple[int, ...]:
    """Return ``RandomBptt.padded_lengths``: of all sets of that many lengths the one with the least expected padding.

    Dynamic programming over the largest length of each group:

        cost[j] = min_i (cost[i] + length[j] · P(length[i] < l <= length[j])).
    """
    lengths, density = random.density(bptt)
    chosen = np.unique(np.linspace(0, lengths.size - 1, min(lengths.size, _CANDIDATES)).round().astype(int))
    edges = lengths[chosen].astype(float)
    mass = np.concatenate([[0.0], np.cumsum(density)[chosen]])
    count = edges.size
    cost, before = np.concatenate([[0.0], np.full(count, np.inf)]), []
    for _ in range(min(random.shapes, count)):
        padded = edges[None, :] * np.maximum(mass[None, 1:] - mass[:-1, None], 0)
        padded[np.tril_indices(count, -1)] = np.inf  # an edge is above those before it
        total = cost[:-1, None] + padded
        before.append(total.argmin(axis=0))
        cost = np.concatenate([[np.inf], total.min(axis=0)])
    found, edge = [], count - 1
    for choices in reversed(before):
        found.append(int(edges[edge]))
        edge = int(choices[edge]) - 1
        if edge < 0:
            break
    return tuple(sorted(found))


class Windows(abc.ABC):
    """The windows of one epoch, numbered from 0."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of windows."""

    @abc.abstractmethod
    def bounds(self, first: int, stop: int) -> np.ndarray:
        """Return where windows ``first`` to ``stop - 1`` begin, and the last one ends: int64 ``[n + 1]``, in steps."""

    @abc.abstractmethod
    def ended_by(self, step: int) -> int:
        """Return the number of windows that end at or before a step."""

    @abc.abstractmethod
    def padded(self, lengths: np.ndarray) -> np.ndarray:
        """Return the numbers of steps that windows of some lengths are padded to."""


@dataclass(frozen=True)
class FixedWindows(Windows):
    """Windows of one length; the last one is padded to it."""

    steps: int
    bptt: int

    def __len__(self) -> int:
        """Return the number of windows."""
        return -(-self.steps // self.bptt)

    def bounds(self, first: int, stop: int) -> np.ndarray:
        """Return where windows begin and end."""
        return np.minimum(np.arange(first, stop + 1, dtype=np.int64) * self.bptt, self.steps)

    def ended_by(self, step: int) -> int:
        """Return the number of windows that end at or before a step."""
        return len(self) if step >= self.steps else step // self.bptt

    def padded(self, lengths: np.ndarray) -> np.ndarray:
        """Return the length of windows."""
        return np.full_like(lengths, self.bptt)


class DrawnWindows(Windows):
    """Windows of random lengths, padded to the next of a few lengths."""

    def __init__(self, ends: np.ndarray, padded_lengths: tuple[int, ...]) -> None:
        """Keep the ends of all windows."""
        self._ends, self._padded = ends, np.array(padded_lengths)

    def __len__(self) -> int:
        """Return the number of windows."""
        return self._ends.size

    def bounds(self, first: int, stop: int) -> np.ndarray:
        """Return where windows begin and end."""
        if first > 0:
            return self._ends[first - 1 : stop]
        return np.concatenate([np.zeros(1, np.int64), self._ends[:stop]])

    def ended_by(self, step: int) -> int:
        """Return the number of windows that end at or before a step."""
        return int(np.searchsorted(self._ends, step, side="right"))

    def padded(self, lengths: np.ndarray) -> np.ndarray:
        """Return the next padded length of each length."""
        return self._padded[np.searchsorted(self._padded, lengths)]


@dataclass(frozen=True)
class EpochWindows:
    """The windows of all epochs.

    Args:
        steps: length of the streams.
        bptt: length of the windows, or their base length.
        random: distribution of random lengths; None: all are ``bptt``.
        seed: seed of random lengths.
    """

    steps: int
    bptt: int
    random: RandomBptt | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that the least length is not above the base length."""
        if self.random is not None and self.random.minimum > self.bptt:
            raise ArgumentError(
                f"`minimum` of random windows is {self.random.minimum}, above `bptt` {self.bptt}: lower it"
            )

    @property
    def padded_lengths(self) -> tuple[int, ...]:
        """The numbers of steps that batches have, ascending."""
        return (self.bptt,) if self.random is None else self.random.padded_lengths(self.bptt)

    def epoch(self, epoch: int) -> Windows:
        """Return the windows of an epoch."""
        return FixedWindows(self.steps, self.bptt) if self.random is None else _drawn_windows(self, epoch)


@functools.lru_cache(maxsize=2)
def _drawn_windows(windows: EpochWindows, epoch: int) -> Windows:
    assert windows.random is not None
    ends = windows.random.ends(windows.bptt, windows.steps, seed=windows.seed, epoch=epoch)
    ends.setflags(write=False)
    return DrawnWindows(ends, windows.padded_lengths)
