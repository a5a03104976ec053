"""Choose the priors of a maximum entropy model on held-out text."""

import dataclasses
import math
from collections.abc import Iterator

from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.maxent.maxent_training import (
    count_features,
    kneser_ney_weights,
    model_from_weights,
    optimal_weights,
)
from rnnlm_jax.ngrams.maxent.ngram_features import Weights
from rnnlm_jax.ngrams.maxent.priors import Priors

#: Factor of variances and change of discounts in each sweep.
_SWEEPS = ((2.0, 0.2), (math.sqrt(2.0), 0.1))


def choose_priors(
    text: EncodedText,
    vocabulary: Vocabulary,
    order: int,
    *,
    held_out: EncodedText,
    progress: Progress = no_progress,
) -> Priors:
    """Return the priors with the lowest loss on a held-out text, by coordinate search.

    Training starts from the weights of the previous candidate, so it takes a few steps.

    Args:
        text: training text.
        vocabulary: the V words.
        order: length of the longest n-grams, 1 to 1000; n-grams of more than five words have the priors of five.
        held_out: held-out text.
        progress: called with the number of tokens after each step of the optimiser.

    Raises:
        ArgumentError: ``order`` is out of range.
        DataError: a text has no tokens.
    """
    if len(held_out) == 0:
        raise DataError("the held-out text has no tokens to choose the priors on: give one that is not empty")
    features = count_features(text, vocabulary, order)
    weights: Weights = kneser_ney_weights(features, text, vocabulary)

    def nats(priors: Priors) -> float:
        nonlocal weights
        weights = optimal_weights(features, priors, weights, progress=progress)
        return float(model_from_weights(features, weights, vocabulary, priors=priors).token_nll(held_out).sum())

    best = Priors()
    orders = max(min(order, 5) - 1, 1)
    best = Priors(_extended(best.discounts, orders), _extended(best.variances, orders))
    least = nats(best)
    for factor, change in _SWEEPS:
        for index in range(2 * orders if order > 1 else 0):
            for step in ((factor, change), (1 / factor, -change)):
                before = least
                for priors in _line_search(best, index, step[0], change=step[1]):
                    found = nats(priors)
                    if found >= least:
                        break
                    best, least = priors, found
                if least < before:
                    break
    return best


def _extended(values: tuple[float, ...], orders: int) -> tuple[float, ...]:
    return (*values, *[values[-1]] * orders)[:orders]


def _line_search(priors: Priors, index: int, factor: float, *, change: float) -> Iterator[Priors]:
    """Yield priors with one number changed more and more: variance ``index``, or beyond those a discount."""
    orders = len(priors.variances)
    name, at = ("variances", index) if index < orders else ("discounts", index - orders)
    while True:
        values = list(getattr(priors, name))
        values[at] = values[at] * factor if name == "variances" else values[at] + change
        if not 0 <= values[at] < (math.inf if name == "variances" else 1):
            return
        priors = dataclasses.replace(priors, **{name: tuple(values)})
        yield priors
