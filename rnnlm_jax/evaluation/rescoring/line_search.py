"""Exact line search over weights: errors of the winning hypotheses along a line, and where they change (Och 2003)."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int


class ErrorProfile(NamedTuple):
    """Errors of the winning hypotheses as a function of t, which is constant between M breakpoints."""

    breaks: Float[np.ndarray, "M"]
    """Ascending and distinct."""
    errors: Int[np.ndarray, "intervals"]
    """Below the first breakpoint, between each two, and above the last."""


class LinePoint(NamedTuple):
    """Point of a line, and the errors there."""

    t: float
    errors: int


def error_profile(
    intercepts: Float[np.ndarray, "N"],
    slopes: Float[np.ndarray, "N"],
    *,
    errors: Int[np.ndarray, "N"],
    starts: Int[np.ndarray, "offsets"],
) -> ErrorProfile:
    """Return the errors of ``argmax_i (intercept_i + t · slope_i)``, summed over utterances, for every t.

    The winners along t form the upper envelope of an utterance's lines, whose slopes ascend: from the line that wins
    at −∞, each step goes to the steeper line that is met first (Och 2003, section 5). All utterances advance at once,
    and lines that are not steeper than the last winner are dropped.

    Args:
        intercepts: total score of each hypothesis at t = 0, finite.
        slopes: its change with t, finite.
        errors: errors of each hypothesis.
        starts: index of the first hypothesis of each utterance, and N.
    """
    lines = np.arange(intercepts.size)
    winners = _first_best(lines, starts[:-1], -slopes, intercepts)
    base = int(errors[winners].sum())
    last = np.full(winners.size, -np.inf)
    utterance = np.repeat(np.arange(winners.size), np.diff(starts))
    break_points: list[np.ndarray] = []
    changes: list[np.ndarray] = []
    while True:
        steeper = slopes[lines] > slopes[winners[utterance]]
        lines, utterance = lines[steeper], utterance[steeper]
        if not lines.size:
            break
        current = winners[utterance]
        intersections = (intercepts[current] - intercepts[lines]) / (slopes[lines] - slopes[current])
        intersections = np.maximum(intersections, last[utterance])  # rounding must not lead backwards
        groups = np.flatnonzero(np.diff(utterance, prepend=-1))
        first = _first_best(np.arange(lines.size), groups, -intersections, slopes[lines])
        changed, new = utterance[first], lines[first]
        break_points.append(intersections[first])
        changes.append(errors[new] - errors[winners[changed]])
        winners[changed], last[changed] = new, intersections[first]
    if not break_points:
        return ErrorProfile(np.zeros(0), np.array([base]))
    breaks, index = np.unique(np.concatenate(break_points), return_inverse=True)
    steps = np.bincount(index, np.concatenate(changes), breaks.size).astype(np.int64)
    return ErrorProfile(breaks, base + np.concatenate([[0], np.cumsum(steps)]))


def fewest_errors(profile: ErrorProfile, lowest: float = -np.inf, highest: float = np.inf) -> LinePoint:
    """Return the middle of the widest interval of fewest errors between two bounds; bounded intervals come first."""
    breaks, errors = profile.breaks, profile.errors
    begins = np.clip(np.concatenate([[-np.inf], breaks]), lowest, highest)
    ends = np.clip(np.concatenate([breaks, [np.inf]]), lowest, highest)
    not_empty = begins < ends
    if not not_empty.any():  # the bounds meet
        return LinePoint(lowest, int(errors[np.searchsorted(breaks, lowest, side="right")]))
    begins, ends, errors = begins[not_empty], ends[not_empty], errors[not_empty]
    # Neighbours with equally many errors are one interval.
    first = np.flatnonzero(np.diff(errors, prepend=errors[0] - 1))
    begins, ends, errors = begins[first], ends[np.append(first[1:], errors.size) - 1], errors[first]
    widths = np.where(errors == errors.min(), np.where(np.isinf(ends - begins), 0.0, ends - begins), -1.0)
    widest = int(widths.argmax())
    return LinePoint(_inside(float(begins[widest]), float(ends[widest])), int(errors[widest]))


def _inside(begin: float, end: float) -> float:
    """Return the middle of an interval, or a point near its finite end."""
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
    """Return the row of each group with the largest first key, then the largest second key, then the first one."""
    sizes = np.diff(np.append(groups, rows.size))
    top = _largest(first_key, groups, sizes) == first_key
    second = np.where(top, second_key, -np.inf)
    candidates = np.flatnonzero(top & (_largest(second, groups, sizes) == second))
    return rows[candidates[np.searchsorted(candidates, groups)]]


def _largest(keys: np.ndarray, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the largest key of the row's group, for each row."""
    largest: np.ndarray = np.maximum.reduceat(keys, groups)
    return np.repeat(largest, sizes)
