"""From a curve by lag to one number: the lag at which a gradient has decayed, or the context that is enough."""

import numpy as np

from rnnlm_jax.array_types import Float, Int

#: Name -> fraction of the norm at the first lag at which a gradient counts as decayed.
FRACTIONS = {"1/e": np.exp(-1.0), "1%": 0.01}


def mean_log_norms(log_norms: Float[np.ndarray, "N L"]) -> Float[np.ndarray, "L"]:
    """Return the log of the mean norm over positions, relative to the first lag with a gradient, in nats, float64.

    The norms are averaged, not their logarithms, because training sums gradients.

    Args:
        log_norms: natural logs of the norms at N positions by lag 0 … L - 1; -inf for a norm of zero.

    Returns:
        Curve by lag; -inf everywhere if all norms are zero, NaN where a norm is NaN.
    """
    log_norms = np.asarray(log_norms, np.float64)
    largest = log_norms.max(axis=0)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        mean = shift + np.log(np.exp(log_norms - shift).mean(axis=0))
    start = mean[first_lag(mean)]
    return mean if start == -np.inf else mean - start


def first_lag(log_norms: Float[np.ndarray, "L"]) -> int:
    """Return the smallest lag with a finite value: 0, or 1 for an LSTM's cell state, which the output does not read."""
    finite = np.flatnonzero(np.isfinite(log_norms))
    return int(finite[0]) if finite.size else 0


def horizon(curve: Float[np.ndarray, "L"], fraction: float) -> int | None:
    """Return the smallest lag from which on a relative curve stays at or below a fraction; None if there is none.

    Args:
        curve: result of ``mean_log_norms``, in nats.
        fraction: such as 1/e or 0.01.
    """
    above = np.flatnonzero(~(curve <= np.log(fraction)))  # NaN counts as above
    if not above.size:
        return 0
    return None if above[-1] + 1 >= curve.size else int(above[-1]) + 1


def context_horizon(
    contexts: Int[np.ndarray, "K"], nll: Float[np.ndarray, "K"], *, full_nll: float, tolerance: float
) -> int | None:
    """Return the shortest context from which on perplexity is within a tolerance of the full context's; None if none.

    Args:
        contexts: context lengths in words, ascending.
        nll: mean nats per token with each context.
        full_nll: mean nats per token with the full context.
        tolerance: relative excess of perplexity, such as 0.01.
    """
    beyond = np.flatnonzero(~(nll - full_nll <= np.log1p(tolerance)))
    first = 0 if not beyond.size else int(beyond[-1]) + 1
    return None if first >= contexts.size else int(contexts[first])
