"""Prior distributions of the weights, and the Newton step of the penalised objective."""

from dataclasses import dataclass

import numpy as np

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.ngrams.maxent.ngram_features import Features, Weights


@dataclass(frozen=True)
class Priors:
    """``−ln p(λ) = Σ_k Σ_g (δ_k λ_g + λ_g² / 2 σ_k²)`` over the n-grams g of each order k, and a constant.

    δ is a discount of each count: at the optimum an n-gram's count is its expected count plus ``δ_k`` and
    ``λ / σ_k²`` (Goodman 2004, "Exponential priors for maximum entropy models", section 2; Chen & Rosenfeld 2000).

    Attributes:
        discounts: δ of each order from 2 on, in [0, 1); the last one applies to all longer n-grams.
        variances: σ² of each order from 2 on, likewise.

    Raises:
        ArgumentError: either is empty, or a value is out of range.
    """

    discounts: tuple[float, ...] = (0.5,)
    variances: tuple[float, ...] = (15.0, 5.0, 2.0)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.discounts or not all(0 <= value < 1 for value in self.discounts):
            raise ArgumentError(f"the `discounts` of a maximum entropy model must be from 0 to 1, not {self.discounts}")
        if not self.variances or not all(0 < value < np.inf for value in self.variances):
            raise ArgumentError(f"the `variances` of a maximum entropy model must be above 0, not {self.variances}")

    def by_order(self, order: int) -> list[tuple[float, float]]:
        """Return δ and ``1 / σ²`` of orders 1 to ``order``; order 1 has a wide prior, for unseen words."""

        def value(values: tuple[float, ...], k: int) -> float:
            return values[min(k, len(values)) - 1]

        return [(0.0, 0.01), *((value(self.discounts, k), 1 / value(self.variances, k)) for k in range(1, order))]


def newton_step(features: Features, expected: Weights, precisions: list[float], *, gradient: Weights) -> Weights:
    """Return ``(Bᵀ D B + Σ⁻¹)⁻¹ · gradient`` exactly: the step for a Hessian that is diagonal in the scores.

    B sums the weights along suffixes; D is the expected count of each n-gram over histories without a longer one. The
    features of an n-gram and of its suffix are nearly equal if few other n-grams have that suffix, so a diagonal
    preconditioner in the weights converges slowly. But suffixes form a forest, on which the equations are solved in two
    sweeps, from the longest n-grams to single words and back.

    Args:
        features: the n-grams.
        expected: expected count of each n-gram.
        precisions: ``1 / σ²`` of each order.
        gradient: gradient of the objective.
    """
    grams, order = features.grams, features.order
    diagonal, right = [], []
    for k in range(order):
        d, r = expected[k], gradient[k]
        if k + 1 < order:
            above, size = grams[k + 1].suffixes, d.size
            d = d - np.bincount(above, weights=expected[k + 1], minlength=size)
            r = r - np.bincount(above, weights=gradient[k + 1], minlength=size)
        diagonal.append(np.maximum(d, 0.0))
        right.append(r)
    for k in range(order - 1, 0, -1):
        share = precisions[k] / (diagonal[k] + precisions[k])
        for values in (diagonal, right):
            up = np.bincount(grams[k].suffixes, weights=values[k] * share, minlength=values[k - 1].size)
            values[k - 1] = values[k - 1] + up
    steps: Weights = []
    total = np.zeros(0)
    for k in range(order):
        below = total[grams[k].suffixes] if k else np.zeros(diagonal[0].size)
        total = (right[k] + precisions[k] * below) / (diagonal[k] + precisions[k])
        steps.append(total - below)
    return steps
