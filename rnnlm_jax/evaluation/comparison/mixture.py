"""Linear mixtures of models, with weights that maximise the likelihood of a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.comparison.same_vocabulary import require_same_vocabulary
from rnnlm_jax.evaluation.comparison.scorer import ModelInfo, Scorer
from rnnlm_jax.system.progress import Progress, no_progress

#: EM stops when no weights can be better by more than ``TOLERANCE`` nats per token, or after ``MAX_STEPS`` steps.
TOLERANCE, MAX_STEPS = 1e-9, 10_000
#: Lower bound of a weight: EM could never raise a weight of exactly 0 again.
SMALLEST_WEIGHT = 1e-12


@dataclass(frozen=True)
class MixtureWeights:
    """Weights ``λ`` on the simplex, with a certificate of optimality."""

    weights: Float[np.ndarray, "K"]
    """Sum to one."""
    nll_per_token: float
    """Mean nats per token of the mixture on the text of the fit."""
    gap: float
    """Upper bound of what any other weights gain on that text, in nats per token."""
    steps: int
    converged: bool
    """Whether ``gap`` reached the tolerance."""


def fit_weights(
    nll: Float[np.ndarray, "K N"], tolerance: float = TOLERANCE, max_steps: int = MAX_STEPS
) -> MixtureWeights:
    """Maximise ``L(λ) = 1/N Σ_n ln Σ_k λ_k P_k(n)`` by EM from equal weights.

    With ``g_k = ∂L/∂λ_k = 1/N Σ_n P_k(n) / P(n)``, a step of EM (Dempster, Laird & Rubin 1977; Jelinek & Mercer 1980)
    is ``λ_k ← λ_k g_k``, and L never decreases. L is concave, so ``L(λ*) - L(λ) ≤ Σ_k λ*_k g_k - 1 ≤ max_k g_k - 1``:
    this bound is the gap that ends the iteration. After a step that did not lower L, the next is longer,
    ``λ_k g_k^η`` with η doubled (Salakhutdinov & Roweis 2003), because EM alone takes thousands of steps to bring a
    weight to 0.

    Args:
        nll: ``-ln P_k(n)`` of K models for N tokens; infinite where a model gives no probability.
        tolerance: largest gap, in nats per token.
        max_steps: largest number of steps.

    Raises:
        DataError: if tokens or models are missing, nats are NaN or minus infinity, or a token has probability 0 in
            every model.
    """
    relative, least = _relative_probabilities(nll)
    weights = np.full(len(nll), 1.0 / len(nll))
    total = weights @ relative
    likelihood, power, step = float(np.log(total).mean()), 1.0, 0
    while True:
        slopes = relative @ (1.0 / total) / total.size
        gap = max(float(slopes.max()) - 1.0, 0.0)
        if gap <= tolerance or step == max_steps:
            break
        while True:
            tried = _moved(weights, slopes, power)
            total = tried @ relative
            reached = float(np.log(total).mean())
            if reached >= likelihood or power == 1.0:
                break
            power = 1.0
        weights, likelihood, power, step = tried, reached, 2.0 * power, step + 1
    return MixtureWeights(weights, float(np.mean(least)) - likelihood, gap, step, gap <= tolerance)


def _moved(weights: np.ndarray, slopes: np.ndarray, power: float) -> np.ndarray:
    """Return ``λ_k g_k^η``, normalised; computed in logarithms, and at least ``SMALLEST_WEIGHT`` before."""
    with np.errstate(divide="ignore"):
        logs = np.log(weights) + power * np.log(slopes)
    moved = np.maximum(np.exp(logs - logs.max()), SMALLEST_WEIGHT)
    return moved / moved.sum()


def mixture_nll(nll: Float[np.ndarray, "K N"], weights: Float[np.ndarray, "K"]) -> Float[np.ndarray, "N"]:
    """Return ``-ln Σ_k λ_k P_k(n)`` of every token; models of weight 0 are ignored.

    Args:
        nll: nats of each token by each model.
        weights: mixture weights ``λ``.

    Returns:
        Nats. With a single model of weight 1 they equal its nats bit for bit.
    """
    used = weights > 0
    nll, weights = nll[used], weights[used]
    least = nll.min(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # infinite in every model, or NaN
        mixed = least - np.log(weights @ np.exp(least - nll))
    return np.where(np.isposinf(least), np.inf, mixed)


def _relative_probabilities(nll: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities relative to the largest of each token, so that none underflows, and its nats."""
    if nll.size == 0:
        raise DataError("there is nothing to fit mixture weights on: give models, and a text that is not empty")
    if np.isnan(nll).any() or np.isneginf(nll).any():
        raise DataError("a model gives nats that are not finite: mixture weights cannot be fitted with it")
    least = nll.min(axis=0)
    if np.isposinf(least).any():
        raise DataError(
            f"token {int(np.isposinf(least).argmax()) + 1} of the text that mixture weights are fitted on has "
            "probability 0 in every model: add a model that gives every word some"
        )
    return np.exp(least - nll), least


@dataclass(frozen=True)
class Mixture:
    """Scorer ``P(w | context) = Σ_k λ_k P_k(w | context)``. Make one with ``mixture``, which checks the weights."""

    name: str
    components: tuple[Scorer, ...]
    weights: tuple[float, ...]

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary of all components."""
        return self.components[0].vocabulary

    @property
    def policy(self) -> str:
        """Policy of all components."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """Number of parameters of all components together."""
        return sum(component.parameter_count for component in self.components)

    @property
    def info(self) -> ModelInfo:
        """Kind, and the summed training time if it is known for all components."""
        seconds = [component.info.training_seconds for component in self.components]
        known_seconds = [each for each in seconds if each is not None]
        total = sum(known_seconds) if len(known_seconds) == len(seconds) else None
        return ModelInfo(f"mixture of {len(self.components)}", total)

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "N"]:
        """Return ``-ln P`` of every token in nats."""
        nll = np.stack([component.token_nll(text, progress) for component in self.components])
        return mixture_nll(nll, np.array(self.weights))


def mixture(components: Sequence[Scorer], weights: Sequence[float], name: str = "mixture") -> Mixture:
    """Return a mixture of models with given weights.

    Raises:
        ArgumentError: if components are missing, or the weights are not one per component, at least 0, with sum 1.
        DataError: if the vocabularies differ.
    """
    if not components:
        raise ArgumentError("a mixture needs at least one model")
    if len(weights) != len(components):
        raise ArgumentError(f"{len(components)} models need as many mixture weights, not {len(weights)}")
    require_same_vocabulary(components)
    values = np.array(weights, np.float64)
    if not ((values >= 0).all() and abs(values.sum() - 1.0) < 1e-6):
        raise ArgumentError(f"mixture weights must be 0 or more and sum to 1, not {', '.join(map(str, weights))}")
    return Mixture(name, tuple(components), tuple((values / values.sum()).tolist()))
