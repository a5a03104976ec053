"""Tune weights for the fewest word errors on a development list: exact line searches from several starts."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Bool, Float, Int
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.rescoring.line_search import error_profile, fewest_errors
from rnnlm_jax.evaluation.rescoring.score_weights import best_hypotheses, total_scores
from rnnlm_jax.system.progress import Progress, no_progress

#: Random starts besides the given one, random directions besides the axes, and the largest number of rounds.
RESTARTS, DIRECTIONS, ROUNDS = 12, 3, 20
SEED = 1


class DevelopmentSet(NamedTuple):
    """Features and errors of N hypotheses for U utterances."""

    rows: Float[np.ndarray, "N F"]
    """Features that weights multiply."""
    errors: Int[np.ndarray, "N"]
    starts: Int[np.ndarray, "offsets"]
    """Index of the first hypothesis of each utterance, and N."""

    def errors_at(self, weights: Float[np.ndarray, "F"]) -> int:
        """Return the errors of the best hypotheses under given weights."""
        return int(self.errors[best_hypotheses(total_scores(self.rows, weights), self.starts)].sum())


class TunedWeights(NamedTuple):
    """Best weights found."""

    weights: Float[np.ndarray, "F"]
    errors: int
    """Errors of the development list under the weights."""
    searches: int
    """Number of line searches."""


def tune(
    development: DevelopmentSet,
    start: Float[np.ndarray, "F"],
    *,
    free: Bool[np.ndarray, "F"],
    positive: Bool[np.ndarray, "F"],
    progress: Progress = no_progress,
) -> TunedWeights:
    """Minimise the errors of the best hypotheses over the free weights (minimum error rate training, Och 2003).

    The errors are piecewise constant, so gradients are of no use; along a line their minimum is found exactly.
    From each start, the axes and a few random directions are searched in turn until none gives fewer errors. The starts
    are the given weights, random weights, and random changes of the best weights so far, drawn with a fixed seed.
    Finally each weight moves to the middle of an interval with equally few errors.

    Args:
        development: development list.
        start: initial weights; weights that are not free keep these values.
        free: which weights may change.
        positive: which weights must stay at least 0.
        progress: called with 1 after each line search.

    Raises:
        ArgumentError: if no weight is free.
        DataError: if a feature is not finite.
    """
    require_free(free)
    if not np.isfinite(development.rows).all():
        raise DataError(
            "a hypothesis of the development list has probability 0 under the model: give one that gives every word "
            "some probability, or mix it with one that does"
        )
    search = _Search(development, free, positive, progress)
    rng = np.random.default_rng(SEED)
    scales = _scales(development, start, free)
    best = search.descend(start, rng, scales)
    for restart in range(RESTARTS):
        drawn = np.where(free, scales * rng.standard_normal(start.size), 0.0)
        centre = np.where(free, 0.0, start) if restart % 2 else best.weights
        point = centre + drawn
        tried = search.descend(np.where(free & positive, np.abs(point), point), rng, scales)
        if tried.errors < best.errors:
            best = tried
    return search.centred(best)._replace(searches=search.searches)


def require_free(free: Bool[np.ndarray, "F"]) -> None:
    """Check that there is a weight to tune.

    Raises:
        ArgumentError: if no weight is free.
    """
    if not free.any():
        raise ArgumentError("no weight is left to tune: leave out one of those that are given")


class _Search:
    """Line searches over one development list."""

    def __init__(self, development: DevelopmentSet, free: np.ndarray, positive: np.ndarray, progress: Progress) -> None:
        """Keep the arguments of ``tune``."""
        self._development = development
        self._axes = np.flatnonzero(free)
        self._bounded = positive & free
        self._progress = progress
        self.searches = 0

    def descend(self, start: np.ndarray, rng: np.random.Generator, scales: np.ndarray) -> TunedWeights:
        """Search until a round over all directions gives no improvement."""
        best = TunedWeights(start, self._development.errors_at(start), 0)
        for _ in range(ROUNDS):
            errors_before = best.errors
            directions = [np.eye(start.size)[axis] for axis in self._axes]
            if self._axes.size > 1:
                mask = np.isin(np.arange(start.size), self._axes)
                directions += [mask * scales * rng.standard_normal(start.size) for _ in range(DIRECTIONS)]
            for direction in directions:
                moved = self._along(best.weights, direction)
                if moved.errors < best.errors:
                    best = moved
            if best.errors == errors_before:
                break
        return best

    def centred(self, best: TunedWeights) -> TunedWeights:
        """Return weights with no more errors, further from where the errors change."""
        for axis in self._axes:
            moved = self._along(best.weights, np.eye(best.weights.size)[axis])
            if moved.errors <= best.errors:
                best = moved
        return best

    def _along(self, point: np.ndarray, direction: np.ndarray) -> TunedWeights:
        """Return the best point of the line ``point + t · direction`` within the bounds."""
        self.searches += 1
        self._progress(1)
        rows, errors, starts = self._development
        if not direction.any():
            return TunedWeights(point, self._development.errors_at(point), 0)
        intercepts, slopes = total_scores(rows, point), total_scores(rows, direction)
        profile = error_profile(intercepts, slopes, errors=errors, starts=starts)
        bounds = np.where(self._bounded & (direction != 0), -point / np.where(direction == 0, 1.0, direction), np.nan)
        lowest = np.max(bounds[direction > 0], initial=-np.inf, where=~np.isnan(bounds[direction > 0]))
        highest = np.min(bounds[direction < 0], initial=np.inf, where=~np.isnan(bounds[direction < 0]))
        weights = point + fewest_errors(profile, lowest, highest).t * direction
        weights = np.where(self._bounded, np.maximum(weights, 0.0), weights)  # rounding
        # Count again at the point itself, because an interval may be narrower than rounding errors.
        return TunedWeights(weights, self._development.errors_at(weights), 0)


def _scales(development: DevelopmentSet, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return the size of each weight at which its feature varies within utterances as much as the fixed features."""
    rows, _, starts = development
    fixed = total_scores(rows, np.where(free, 0.0, start))
    unit = _spread(fixed[:, None], starts)[0] or 1.0
    spread = _spread(rows, starts)
    return np.divide(unit, spread, out=np.ones_like(spread), where=spread > 0)


def _spread(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column around the means of utterances."""
    sizes = np.diff(starts)
    means = np.add.reduceat(rows, starts[:-1], axis=0) / sizes[:, None]
    return np.sqrt(np.mean((rows - np.repeat(means, sizes, axis=0)) ** 2, axis=0))
