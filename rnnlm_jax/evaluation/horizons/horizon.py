"""From curves of norms by lag to one number: how far back the gradient, or the information, reaches."""

import numpy as np

#: What "fallen" means, by name.
FRACTIONS = {"1/e": np.exp(-1.0), "1%": 0.01}


def mean_log_norms(log_norms: np.ndarray) -> np.ndarray:
    """The mean norm over places relative to that at the first lag that anything arrives at, in nats, ``[L+1]``.

    The mean is that of the norms, not of their logarithms: what training sees of the past is a sum of gradients. All of
    it is -inf if nothing arrives at any lag, and NaN where a norm is.
    """
    log_norms = np.asarray(log_norms, np.float64)
    largest = log_norms.max(axis=0)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        mean = shift + np.log(np.exp(log_norms - shift).mean(axis=0))
    start = mean[first_lag(mean)]
    return mean if start == -np.inf else mean - start


def first_lag(log_norms: np.ndarray) -> int:
    """The least lag at which anything arrives: 0, or 1 for a cell's c, which the output does not read."""
    alive = np.flatnonzero(np.isfinite(log_norms))
    return int(alive[0]) if alive.size else 0


def horizon(curve: np.ndarray, fraction: float) -> int | None:
    """The least lag from which on a relative curve (nats, by lag) stays at or below a fraction; None if it never does.

    Args:
        curve: ``mean_log_norms``.
        fraction: such as 1/e or 0.01.
    """
    above = np.flatnonzero(~(curve <= np.log(fraction)))  # NaN has not fallen
    if not above.size:
        return 0
    return None if above[-1] + 1 >= curve.size else int(above[-1]) + 1


def context_horizon(contexts: np.ndarray, nats: np.ndarray, full_nats: float, tolerance: float) -> int | None:
    """The least context with which, and with any longer one, perplexity is within a tolerance of the full context's.

    Args:
        contexts: numbers of words read, ascending.
        nats: mean nats a token with each.
        full_nats: the same with the whole past.
        tolerance: such as 0.01 for one per cent.
    """
    beyond = np.flatnonzero(~(nats - full_nats <= np.log1p(tolerance)))
    first = 0 if not beyond.size else int(beyond[-1]) + 1
    return None if first >= contexts.size else int(contexts[first])
