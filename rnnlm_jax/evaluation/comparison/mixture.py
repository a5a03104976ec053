"""Linear mixtures of any number of models, with weights that maximise the likelihood of a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.same_vocabulary import require_same_vocabulary
from rnnlm_jax.evaluation.comparison.scorer import About, Progress, Scorer, silent

#: EM stops when no weights can be better by more than this, in nats per token, or after so many steps.
TOLERANCE, MOST_STEPS = 1e-9, 10_000
#: A weight on its way to 0 stays there, should it have to come back.
SMALLEST = 1e-12


@dataclass(frozen=True)
class MixtureWeights:
    """Weights ``λ`` on the simplex, and what vouches for them."""

    weights: np.ndarray
    """``[K]``, summing to one."""
    nats_per_token: float
    """Of the text that they were fitted on."""
    gap: float
    """No weights are better there by more than this, in nats per token."""
    steps: int
    converged: bool
    """Whether ``gap`` came down to the tolerance."""


def fit_weights(nats: np.ndarray, tolerance: float = TOLERANCE, most_steps: int = MOST_STEPS) -> MixtureWeights:
    """The weights that maximise ``L(λ) = 1/N Σ_n log Σ_k λ_k P_k(n)``, by EM from equal weights.

    With ``g_k = ∂L/∂λ_k = 1/N Σ_n P_k(n) / P(n)``, a step of EM (Dempster, Laird & Rubin 1977; Jelinek & Mercer 1980)
    is ``λ_k ← λ_k g_k``, and L never falls. L is concave, so ``L(λ*) - L(λ) ≤ Σ_k λ*_k g_k - 1 ≤ max_k g_k - 1``: that
    is the gap, and a certificate of optimality, not a guess from how far the last step went. A step that did not
    lower L is followed by a longer one, ``λ_k g_k^η`` with η doubled (Salakhutdinov & Roweis 2003): a weight on its
    way to 0 would take EM alone thousands of steps.

    Args:
        nats: ``-log P_k(n)``, ``[K, N]``; infinity where a model gives no probability.
        tolerance: of the gap.
        most_steps: of EM.

    Raises:
        UserError: if there is no token or no model, nats are NaN or minus infinity, or some token has no probability
            in any model.
    """
    relative, least = _relative_probabilities(nats)
    weights = np.full(len(nats), 1.0 / len(nats))
    total = weights @ relative
    likelihood, power, step = float(np.log(total).mean()), 1.0, 0
    while True:
        slopes = relative @ (1.0 / total) / total.size
        gap = max(float(slopes.max()) - 1.0, 0.0)
        if gap <= tolerance or step == most_steps:
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
    """``λ_k g_k^η``, normalised: in logarithms, and never 0, which would be for good."""
    with np.errstate(divide="ignore"):
        logs = np.log(weights) + power * np.log(slopes)
    moved = np.maximum(np.exp(logs - logs.max()), SMALLEST)
    return moved / moved.sum()


def mixture_nll(nats: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``-log Σ_k λ_k P_k(n)`` of every token, ``[N]``; a model of weight 0 counts for nothing.

    Args:
        nats: of each model, ``[K, N]``.
        weights: ``[K]``.

    A single model's nats come back to the last bit.
    """
    used = weights > 0
    nats, weights = nats[used], weights[used]
    least = nats.min(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # all infinite: no probability at all, or NaN
        mixed = least - np.log(weights @ np.exp(least - nats))
    return np.where(np.isposinf(least), np.inf, mixed)


def _relative_probabilities(nats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities over the largest of each token, so that nothing underflows, and the nats of that largest."""
    if nats.size == 0:
        raise UserError("there is nothing to fit mixture weights on: give models, and a text that is not empty")
    if np.isnan(nats).any() or np.isneginf(nats).any():
        raise UserError("a model gives nats that are not finite: mixture weights cannot be fitted with it")
    least = nats.min(axis=0)
    if np.isposinf(least).any():
        raise UserError(
            f"token {int(np.isposinf(least).argmax()) + 1} of the text that mixture weights are fitted on has "
            "probability 0 in every model: add a model that gives every word some"
        )
    return np.exp(least - nats), least


@dataclass(frozen=True)
class Mixture:
    """``P(w | past) = Σ_k λ_k P_k(w | past)``: a model like its components. Make one with ``mixture``."""

    name: str
    components: tuple[Scorer, ...]
    weights: tuple[float, ...]

    @property
    def vocabulary(self) -> Vocabulary:
        """The components' own."""
        return self.components[0].vocabulary

    @property
    def policy(self) -> str:
        """What the components agree on."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """All components together."""
        return sum(component.parameter_count for component in self.components)

    @property
    def about(self) -> About:
        """Kind and weights; the time to train is the sum of all, where all are known."""
        seconds = [component.about.training_seconds for component in self.components]
        known = [each for each in seconds if each is not None]
        total = sum(known) if len(known) == len(seconds) else None
        return About(f"mixture of {len(self.components)}", total)

    def token_nll(self, text: EncodedText, progress: Progress = silent) -> np.ndarray:
        """``-log P`` of every token, float64 ``[N]``."""
        nats = np.stack([component.token_nll(text, progress) for component in self.components])
        return mixture_nll(nats, np.array(self.weights))


def mixture(components: Sequence[Scorer], weights: Sequence[float], name: str = "mixture") -> Mixture:
    """A mixture of models with given weights.

    Raises:
        UserError: if there is no component, they cannot be compared, or the weights are not one a component, 0 or more,
            and 1 in all.
    """
    if not components:
        raise UserError("a mixture needs at least one model")
    if len(weights) != len(components):
        raise UserError(f"{len(components)} models need as many mixture weights, not {len(weights)}")
    require_same_vocabulary(components)
    given = np.array(weights, np.float64)
    if not ((given >= 0).all() and abs(given.sum() - 1.0) < 1e-6):
        raise UserError(f"mixture weights must be 0 or more and sum to 1, not {', '.join(map(str, weights))}")
    return Mixture(name, tuple(components), tuple((given / given.sum()).tolist()))
