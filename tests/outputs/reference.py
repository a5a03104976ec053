"""A reference softmax with its gradients, in float64 NumPy, from all logits at once."""

from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Rows, matrix, bias, targets and weights; the matrix lies ``[V, H]`` if ``by_word``."""

    h: np.ndarray
    w: np.ndarray
    b: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def problem(rows=7, hidden=5, vocabulary=9, by_word=False, dtype="float64"):
    """Random arrays; every third row has weight 0, the others weights of either sign."""
    rng = np.random.default_rng(rows)
    weights = rng.normal(size=rows) * (np.arange(rows) % 3 != 1)
    w = rng.normal(size=(hidden, vocabulary)) / hidden**0.5
    h, b = rng.normal(size=(rows, hidden)), rng.normal(size=vocabulary)
    targets = rng.integers(0, vocabulary, rows).astype(np.int32)
    h, w, b, weights = (a.astype(dtype) for a in (h, w.T.copy() if by_word else w, b, weights))
    return Problem(h, w, b, targets, weights)


def solution(given, by_word=False):
    """``(nats, dh, dw, db)``: rows of weight 0 have no nats, and the gradients are those of ``weights @ nats``."""
    h, w, b, _, weights = (a.astype(np.float64) for a in given)
    w = w.T if by_word else w
    logits = h @ w + b
    places = np.arange(len(h)), given.targets
    below = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(below)
    total = powers.sum(axis=1)
    slopes = powers / total[:, None]
    slopes[places] -= 1
    slopes *= weights[:, None]
    dw = h.T @ slopes
    nats = np.where(weights == 0, 0, np.log(total) - below[places])
    return nats, slopes @ w.T, dw.T if by_word else dw, slopes.sum(axis=0)
