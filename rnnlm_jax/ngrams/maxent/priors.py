"""What is known of weights before the text is read, and how a step allows for it."""

from dataclasses import dataclass

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.maxent.ngram_features import Features, Weights


@dataclass(frozen=True)
class Priors:
    """``−ln p(λ) = Σ_k Σ_g (δ_k λ_g + λ_g² / 2 σ_k²)`` over the n-grams g of each order k, and a constant.

    δ takes as much off each count: at the optimum an n-gram's count is what the model expects, ``δ_k`` and
    ``λ / σ_k²`` (Goodman 2004, "Exponential priors for maximum entropy models", section 2; Chen & Rosenfeld 2000).

    Attributes:
        discounts: δ of each order, from 2 on; those of longer n-grams are the last one.
        variances: σ² of each order, from 2 on, likewise.

    Raises:
        DataError: for none of either, or any that cannot be.
    """

    discounts: tuple[float, ...] = (0.5,)
    variances: tuple[float, ...] = (15.0, 5.0, 2.0)

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.discounts or not all(0 <= value < 1 for value in self.discounts):
            raise DataError(f"the discounts of a maximum entropy model must be from 0 to 1, not {self.discounts}")
        if not self.variances or not all(0 < value < np.inf for value in self.variances):
            raise DataError(f"the variances of a maximum entropy model must be above 0, not {self.variances}")

    def by_order(self, order: int) -> list[tuple[float, float]]:
        """δ and ``1 / σ²`` of the orders from 1 to ``order``: single words have a wide prior, for those not seen."""

        def of(values: tuple[float, ...], k: int) -> float:
            return values[min(k, len(values)) - 1]

        return [(0.0, 0.01), *((of(self.discounts, k), 1 / of(self.variances, k)) for k in range(1, order))]


def newton_step(features: Features, expected: Weights, precisions: list[float], gradient: Weights) -> Weights:
    """The step that the objective's diagonal in scores asks for: ``(Bᵀ D B + Σ⁻¹)⁻¹ · gradient``, exactly.

    B sums the weights along suffixes; D is what each n-gram expects after histories for which there is no longer one.
    A weight and that of its suffix are all but the same feature where the suffix has few other n-grams above it, so
    that steps weight by weight would go on for ever; but suffixes are a forest, and on one the equations are solved in
    two sweeps, from the longest n-grams to single words and back.

    Args:
        features: the n-grams.
        expected: how often the model expects each of them.
        precisions: ``1 / σ²`` of each order.
        gradient: of the objective.
    """
    grams, order = features.grams, features.order
    own, right = [], []
    for k in range(order):
        d, r = expected[k], gradient[k]
        if k + 1 < order:
            above, size = grams[k + 1].suffixes, d.size
            d = d - np.bincount(above, weights=expected[k + 1], minlength=size)
            r = r - np.bincount(above, weights=gradient[k + 1], minlength=size)
        own.append(np.maximum(d, 0.0))
        right.append(r)
    for k in range(order - 1, 0, -1):
        share = precisions[k] / (own[k] + precisions[k])
        for values in (own, right):
            up = np.bincount(grams[k].suffixes, weights=values[k] * share, minlength=values[k - 1].size)
            values[k - 1] = values[k - 1] + up
    steps: Weights = []
    total = np.zeros(0)
    for k in range(order):
        below = total[grams[k].suffixes] if k else np.zeros(own[0].size)
        total = (right[k] + precisions[k] * below) / (own[k] + precisions[k])
        steps.append(total - below)
    return steps
