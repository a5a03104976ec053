"""Norms by lag, given as logarithms, relative to their first: mean and quantiles over the positions of a text."""

from typing import NamedTuple

import numpy as np

#: Figures are drawn within e^±this, far outside of any axis, and far inside what axes can compute with.
LARGEST_LOG = 230.0


class RelativeNorms(NamedTuple):
    """Logs (nats) of ``‖∂J_i/∂s_{i-ℓ}‖`` over positions i, less the log of their mean at the first lag."""

    mean: np.ndarray
    """Log of the arithmetic mean, ``[L]``: 0 at the first lag, NaN where a position's norm is NaN."""
    low: np.ndarray
    """The 10 % quantile of single positions."""
    high: np.ndarray
    """The 90 % quantile."""
    first: int
    """The first lag that anything arrives at: 0, or 1 for an LSTM's c, which the output does not read."""


def relative_norms(log_norms: np.ndarray) -> RelativeNorms:
    """Mean and quantiles, over positions, of norms relative to their mean at the first lag that anything arrives at.

    If nothing arrives at any, they are as they were.

    Args:
        log_norms: ``[N, L]`` for the lags 0 … L - 1; -inf for a norm of zero.
    """
    logs = np.asarray(log_norms, np.float64)
    mean = log_mean(logs)
    alive = np.flatnonzero(np.isfinite(mean))
    first = int(alive[0]) if alive.size else 0
    start = mean[first] if alive.size else 0.0
    return RelativeNorms(mean - start, _quantile(logs, 0.1) - start, _quantile(logs, 0.9) - start, first)


def log_mean(logs: np.ndarray) -> np.ndarray:
    """``ln(1/N Σ_i e^{x_i})`` over the first axis, whatever the size of the ``x_i``; -inf if all are."""
    largest = logs.max(axis=0)
    shift = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.log(np.mean(np.exp(logs - shift), axis=0)) + shift


def magnitude(logs: np.ndarray) -> np.ndarray:
    """``e^x`` for an axis with a log scale: finite, and never zero."""
    return np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))


def line(logs: np.ndarray) -> np.ndarray:
    """Magnitudes for a line on a log scale, which has no zero: a gap is there instead."""
    return np.where(np.isfinite(logs), magnitude(logs), np.nan)


def _quantile(logs: np.ndarray, part: float) -> np.ndarray:
    """Nearest-rank quantile over the first axis: interpolation has no answer between -inf and a number."""
    ranked = np.sort(logs, axis=0)[round(part * (len(logs) - 1))]
    return np.where(np.isnan(logs).any(axis=0), np.nan, ranked)
