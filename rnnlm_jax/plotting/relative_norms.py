"""Norms by lag relative to their mean at the first lag: mean and quantiles over positions, in logarithms."""

from typing import NamedTuple

import numpy as np

#: Largest magnitude of a drawn logarithm: far outside any axis, and well within the range that axes can compute with.
LARGEST_LOG = 230.0


class RelativeNorms(NamedTuple):
    """Logs (nats) of ``‖∂J_i/∂s_{i-ℓ}‖`` over positions i, relative to the mean at the first lag; ``[L]`` each."""

    mean: np.ndarray
    """Log of the arithmetic mean: 0 at the first lag, NaN where a position's norm is NaN."""
    low: np.ndarray
    """10 % quantile of single positions."""
    high: np.ndarray
    """90 % quantile."""
    first: int
    """First lag with a gradient: 0, or 1 for an LSTM's cell state, which the output does not read."""


def relative_norms(log_norms: np.ndarray) -> RelativeNorms:
    """Return mean and quantiles over positions, relative to the mean at the first lag with a gradient.

    If all norms are zero, they are returned unchanged.

    Args:
        log_norms: natural logs of norms, ``[N, L]``, at N positions by lag 0 … L - 1; -inf for a norm of zero.
    """
    logs = np.asarray(log_norms, np.float64)
    mean = log_mean(logs)
    finite = np.flatnonzero(np.isfinite(mean))
    first = int(finite[0]) if finite.size else 0
    start = mean[first] if finite.size else 0.0
    return RelativeNorms(mean - start, _quantile(logs, 0.1) - start, _quantile(logs, 0.9) - start, first)


def log_mean(logs: np.ndarray) -> np.ndarray:
    """Return ``ln(1/N Σ_i e^{x_i})`` over the first axis, without overflow; -inf if all ``x_i`` are."""
    largest = logs.max(axis=0)
    shift = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.log(np.mean(np.exp(logs - shift), axis=0)) + shift


def magnitude(logs: np.ndarray) -> np.ndarray:
    """Return ``e^x`` for an axis with a log scale: finite and positive."""
    return np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))


def line(logs: np.ndarray) -> np.ndarray:
    """Return magnitudes for a line on a log scale, with gaps (NaN) in place of zero and infinity."""
    return np.where(np.isfinite(logs), magnitude(logs), np.nan)


def _quantile(logs: np.ndarray, part: float) -> np.ndarray:
    """Return the nearest-rank quantile over the first axis; interpolation fails between -inf and a number."""
    ranked = np.sort(logs, axis=0)[round(part * (len(logs) - 1))]
    return np.where(np.isnan(logs).any(axis=0), np.nan, ranked)
