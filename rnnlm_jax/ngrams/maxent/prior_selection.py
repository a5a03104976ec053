"""Priors that suit other text."""

import dataclasses
import math
from collections.abc import Callable, Iterator

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.maxent.maxent_training import (
    count_features,
    kneser_ney_weights,
    model_from_weights,
    optimal_weights,
)
from rnnlm_jax.ngrams.maxent.ngram_features import Weights
from rnnlm_jax.ngrams.maxent.priors import Priors

#: How variances are multiplied and discounts are moved, the second time more finely.
_SWEEPS = ((2.0, 0.2), (math.sqrt(2.0), 0.1))


def choose_priors(
    text: EncodedText,
    vocabulary: Vocabulary,
    order: int,
    held_out: EncodedText,
    progress: Callable[[int], object] = lambda tokens: None,
) -> Priors:
    """The priors whose model gives a held-out text the fewest nats, by changing one number at a time.

    Each model is trained on from the last one, so that it takes a few steps.

    Args:
        text: the training text.
        vocabulary: V words.
        order: the longest n-grams, 1 to 1000; those of more than five words have the priors of five.
        held_out: another text.
        progress: told the number of tokens after each step of a descent.

    Raises:
        DataError: for an order out of range, or a text without tokens.
    """
    if len(held_out) == 0:
        raise DataError("there are no tokens to choose the priors on: give a --held-out text that is not empty")
    features = count_features(text, vocabulary, order)
    weights: Weights = kneser_ney_weights(features, text, vocabulary)

    def nats(priors: Priors) -> float:
        nonlocal weights
        weights = optimal_weights(features, priors, weights, progress)
        return float(model_from_weights(features, weights, vocabulary, priors).token_nats(held_out).sum())

    best = Priors()
    orders = max(min(order, 5) - 1, 1)
    best = Priors(_extended(best.discounts, orders), _extended(best.variances, orders))
    least = nats(best)
    for factor, change in _SWEEPS:
        for place in range(2 * orders if order > 1 else 0):
            for neighbours in (_along(best, place, factor, change), _along(best, place, 1 / factor, -change)):
                before = least
                for priors in neighbours:
                    found = nats(priors)
                    if found >= least:
                        break
                    best, least = priors, found
                if least < before:
                    break
    return best


def _extended(values: tuple[float, ...], orders: int) -> tuple[float, ...]:
    return (*values, *[values[-1]] * orders)[:orders]


def _along(priors: Priors, place: int, factor: float, change: float) -> Iterator[Priors]:
    """Priors further and further away in one number: a variance, or after those a discount."""
    orders = len(priors.variances)
    name, at = ("variances", place) if place < orders else ("discounts", place - orders)
    while True:
        values = list(getattr(priors, name))
        values[at] = values[at] * factor if name == "variances" else values[at] + change
        if not 0 <= values[at] < (math.inf if name == "variances" else 1):
            return
        priors = dataclasses.replace(priors, **{name: tuple(values)})
        yield priors
