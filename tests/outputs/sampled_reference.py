"""Reference sampled losses in float64 NumPy, row by row from the papers' formulas."""

import numpy as np


def log_sum(values):
    largest = max(values)
    return largest + np.log(sum(np.exp(v - largest) for v in values))


def importance(s, target, samples, log_expected, c=0.0):
    """Jozefowicz et al. 2016: a softmax over the target and the samples that are not it."""
    a = s - log_expected
    return log_sum([a[target], *(a[j] for j in samples if j != target)]) - a[target]


def nce(s, target, samples, log_expected, c):
    """Mnih & Teh 2012: P(data | v) = u / (u + k Q) with u = e^{s - c}; a sample that is the target is noise as well."""
    u, noise = np.exp(s - c), np.exp(log_expected)
    of_data = u / (u + noise)
    return -np.log(of_data[target]) - sum(np.log(1 - of_data[j]) for j in samples)


def blackout(s, target, samples, log_q, c=0.0):
    """Ji et al. 2016, equations 5 to 7, with q = 1 / Q."""
    return blackout_with_hits(s, target, [j for j in samples if j != target], log_q)


def blackout_with_hits(s, target, counted, log_q, c=0.0):
    """The same, whatever the samples are."""
    weighted = np.exp(s - log_q)
    total = weighted[target] + sum(weighted[j] for j in counted)
    return -np.log(weighted[target] / total) - sum(np.log(1 - weighted[j] / total) for j in counted)


def total(loss, w, b, h, targets, weights, samples, offsets, c=0.0):
    """``Σ weight ℓ`` over rows whose weight is not 0."""
    logits = h @ w.T + b
    rows = zip(logits, targets, weights, strict=True)
    return sum(weight * loss(s, v, samples, offsets, c) for s, v, weight in rows if weight != 0)


def gradient(f, x, step=1e-5):
    """Central differences of a function of an array."""
    slopes = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        moved = x.copy()
        moved[place] += step
        above = f(moved)
        moved[place] -= 2 * step
        slopes[place] = (above - f(moved)) / (2 * step)
    return slopes
