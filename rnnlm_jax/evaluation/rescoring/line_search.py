"""Errors along a line of weights, exactly: which hypothesis wins where, and where that changes (Och 2003)."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int


class Profile(NamedTuple):
    """The errors of the winners as a function of t, which is constant between breakpoints."""

    breaks: Float[np.ndarray, "M"]
    """Ascending and distinct."""
    errors: Int[np.ndarray, "M+1"]
    """Below the first breakpoint, between each two, and above the last."""


class Found(NamedTuple):
    """A point of a line, and the errors that it has."""

    t: float
    errors: int


def error_profile(
    intercepts: Float[np.ndarray, "N"],
    slopes: Float[np.ndarray, "N"],
    errors: Int[np.ndarray, "N"],
    starts: Int[np.ndarray, "U+1"],
) -> Profile:
    """The errors of ``argmax_i (intercept_i + t · slope_i)``, summed over utterances, for every t.

    The winners along t are the upper envelope of an utterance's lines, whose slopes ascend: from the line that wins
    at −∞ each step goes to the steeper line that is met first (Och 2003, section 5). All utterances step at once, and
    lines no steeper than the last winner are dropped.

    Args:
        intercepts: of each hypothesis, finite.
        slopes: finite.
        errors: of each hypothesis.
        starts: where the hypotheses of each utterance begin, and N.
    """
    lines = np.arange(intercepts.size)
    winners = _first_best(lines, starts[:-1], -slopes, intercepts)
    base = int(errors[winners].sum())
    last = np.full(winners.size, -np.inf)
    of = np.repeat(np.arange(winners.size), np.diff(starts))
    where: list[np.ndarray] = []
    changes: list[np.ndarray] = []
    while True:
        steeper = slopes[lines] > slopes[winners[of]]
        lines, of = lines[steeper], of[steeper]
        if not lines.size:
            break
        now = winners[of]
        # Rounding must not lead backwards.
        meets = np.maximum((intercepts[now] - intercepts[lines]) / (slopes[lines] - slopes[now]), last[of])
        groups = np.flatnonzero(np.diff(of, prepend=-1))
        places = _first_best(np.arange(lines.size), groups, -meets, slopes[lines])
        utterances, new = of[places], lines[places]
        where.append(meets[places])
        changes.append(errors[new] - errors[winners[utterances]])
        winners[utterances], last[utterances] = new, meets[places]
    if not where:
        return Profile(np.zeros(0), np.array([base]))
    breaks, place = np.unique(np.concatenate(where), return_inverse=True)
    steps = np.bincount(place, np.concatenate(changes), breaks.size).astype(np.int64)
    return Profile(breaks, base + np.concatenate([[0], np.cumsum(steps)]))


def least(profile: Profile, lowest: float = -np.inf, highest: float = np.inf) -> Found:
    """The middle of the widest stretch of fewest errors between two bounds, bounded ones before those without end."""
    breaks, errors = profile.breaks, profile.errors
    begins = np.clip(np.concatenate([[-np.inf], breaks]), lowest, highest)
    ends = np.clip(np.concatenate([breaks, [np.inf]]), lowest, highest)
    there = begins < ends
    if not there.any():  # the bounds meet
        return Found(lowest, int(errors[np.searchsorted(breaks, lowest, side="right")]))
    begins, ends, errors = begins[there], ends[there], errors[there]
    # Neighbours with as many errors are one stretch.
    first = np.flatnonzero(np.diff(errors, prepend=errors[0] - 1))
    begins, ends, errors = begins[first], ends[np.append(first[1:], errors.size) - 1], errors[first]
    widths = np.where(errors == errors.min(), np.where(np.isinf(ends - begins), 0.0, ends - begins), -1.0)
    place = int(widths.argmax())
    return Found(_inside(float(begins[place]), float(ends[place])), int(errors[place]))


def _inside(begin: float, end: float) -> float:
    """The middle, or a point not far from the one end that there is."""
    if np.isinf(begin) and np.isinf(end):
        return 0.0
    if np.isinf(end):
        return begin + max(1.0, abs(begin))
    if np.isinf(begin):
        return end - max(1.0, abs(end))
    return 0.5 * (begin + end)


def _first_best(
    rows: Int[np.ndarray, "N"],
    groups: Int[np.ndarray, "U"],
    first_key: Float[np.ndarray, "N"],
    second_key: Float[np.ndarray, "N"],
) -> Int[np.ndarray, "U"]:
    """Of each group of rows the one with the largest first key, then the largest second key, then the first."""
    sizes = np.diff(np.append(groups, rows.size))
    top = _largest(first_key, groups, sizes) == first_key
    second = np.where(top, second_key, -np.inf)
    places = np.flatnonzero(top & (_largest(second, groups, sizes) == second))
    return rows[places[np.searchsorted(places, groups)]]


def _largest(keys: np.ndarray, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The largest key of its group, for each row."""
    largest: np.ndarray = np.maximum.reduceat(keys, groups)
    return np.repeat(largest, sizes)
