"""Weights that make the fewest word errors on a development list: exact line searches, from several starts."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Bool, Float, Int
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.rescoring.line_search import error_profile, least
from rnnlm_jax.evaluation.rescoring.score_weights import best, totals

#: Starts besides the given one, directions tried besides the axes, and rounds of both at the most.
RESTARTS, DIRECTIONS, ROUNDS = 12, 3, 20
SEED = 1


class Tuned(NamedTuple):
    """The best weights that were found."""

    weights: Float[np.ndarray, "F"]
    errors: int
    """Of the development list under them."""
    searches: int
    """Lines that were searched."""


def tune(
    rows: Float[np.ndarray, "N F"],
    errors: Int[np.ndarray, "N"],
    starts: Int[np.ndarray, "U+1"],
    start: Float[np.ndarray, "F"],
    free: Bool[np.ndarray, "F"],
    positive: Bool[np.ndarray, "F"],
    progress: Callable[[int], object] = lambda searches: None,
) -> Tuned:
    """Minimise the errors of the best hypotheses over the free weights (minimum error rate training, Och 2003).

    The errors are constant almost everywhere, so no gradient leads anywhere; along a line their minimum is found
    exactly. From each start the axes and a few random directions are searched in turn, until none is better: the given
    start, random ones, and the best of all of these moved. What is drawn has a fixed seed. Last, each weight goes to
    the middle of a stretch of as few errors.

    Args:
        rows: of each hypothesis, what weights multiply.
        errors: of each hypothesis.
        starts: where the hypotheses of each utterance begin, and N.
        start: weights to begin with, and to keep where not free.
        free: which may be changed.
        positive: which may not fall below 0.
        progress: told of each search.

    Raises:
        UserError: if none is free, or some row is not finite.
    """
    require_free(free)
    if not np.isfinite(rows).all():
        raise UserError(
            "a hypothesis of the development list has no probability at all under the model: give one that gives every "
            "word some, or mix with one (--ngram)"
        )
    search = _Search(rows, errors, starts, free, positive, progress)
    rng = np.random.default_rng(SEED)
    scales = _scales(rows, starts, start, free)
    found = search.descend(start, rng, scales)
    for restart in range(RESTARTS):
        drawn = np.where(free, scales * rng.standard_normal(start.size), 0.0)
        middle = np.where(free, 0.0, start) if restart % 2 else found.weights
        point = middle + drawn
        tried = search.descend(np.where(free & positive, np.abs(point), point), rng, scales)
        if tried.errors < found.errors:
            found = tried
    return search.centred(found)._replace(searches=search.searches)


def require_free(free: Bool[np.ndarray, "F"]) -> None:
    """Check that there is something to tune.

    Raises:
        UserError: if no weight is free.
    """
    if not free.any():
        raise UserError("there is no weight to tune: leave out one of those that are given")


class _Search:
    """Line searches over one development list."""

    def __init__(
        self,
        rows: np.ndarray,
        errors: np.ndarray,
        starts: np.ndarray,
        free: np.ndarray,
        positive: np.ndarray,
        progress: Callable[[int], object],
    ) -> None:
        """Take what all searches share."""
        self._rows, self._errors, self._starts = rows, errors, starts
        self._axes = np.flatnonzero(free)
        self._bounded = positive & free
        self._progress = progress
        self.searches = 0

    def descend(self, start: np.ndarray, rng: np.random.Generator, scales: np.ndarray) -> Tuned:
        """Search until a round of all directions changes nothing."""
        found = Tuned(start, self._errors_at(start), 0)
        for _ in range(ROUNDS):
            before = found.errors
            directions = [np.eye(start.size)[axis] for axis in self._axes]
            if self._axes.size > 1:
                mask = np.isin(np.arange(start.size), self._axes)
                directions += [mask * scales * rng.standard_normal(start.size) for _ in range(DIRECTIONS)]
            for direction in directions:
                moved = self._along(found.weights, direction)
                if moved.errors < found.errors:
                    found = moved
            if found.errors == before:
                break
        return found

    def centred(self, found: Tuned) -> Tuned:
        """The same errors, further from where they change."""
        for axis in self._axes:
            moved = self._along(found.weights, np.eye(found.weights.size)[axis])
            if moved.errors <= found.errors:
                found = moved
        return found

    def _along(self, point: np.ndarray, direction: np.ndarray) -> Tuned:
        """The best point of the line ``point + t · direction`` that breaks no bound."""
        self.searches += 1
        self._progress(1)
        if not direction.any():
            return Tuned(point, self._errors_at(point), 0)
        intercepts, slopes = totals(self._rows, point), totals(self._rows, direction)
        profile = error_profile(intercepts, slopes, self._errors, self._starts)
        reach = np.where(self._bounded & (direction != 0), -point / np.where(direction == 0, 1.0, direction), np.nan)
        lowest = np.max(reach[direction > 0], initial=-np.inf, where=~np.isnan(reach[direction > 0]))
        highest = np.min(reach[direction < 0], initial=np.inf, where=~np.isnan(reach[direction < 0]))
        weights = point + least(profile, lowest, highest).t * direction
        weights = np.where(self._bounded, np.maximum(weights, 0.0), weights)  # rounding
        # Counted anew at the point itself: a stretch may be narrower than rounding.
        return Tuned(weights, self._errors_at(weights), 0)

    def _errors_at(self, weights: np.ndarray) -> int:
        return int(self._errors[best(totals(self._rows, weights), self._starts)].sum())


def _scales(rows: np.ndarray, starts: np.ndarray, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Of each weight, the size at which it has as much to say within an utterance as what is not tuned."""
    fixed = totals(rows, np.where(free, 0.0, start))
    unit = _spread(fixed[:, None], starts)[0] or 1.0
    spread = _spread(rows, starts)
    return np.divide(unit, spread, out=np.ones_like(spread), where=spread > 0)


def _spread(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The standard deviation of each column around the means of utterances."""
    sizes = np.diff(starts)
    means = np.add.reduceat(rows, starts[:-1], axis=0) / sizes[:, None]
    return np.sqrt(np.mean((rows - np.repeat(means, sizes, axis=0)) ** 2, axis=0))
