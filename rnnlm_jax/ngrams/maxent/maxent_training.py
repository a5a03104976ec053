"""Train a maximum entropy n-gram model."""

import numpy as np

from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.errors import DataError, warn
from rnnlm_jax.ngrams import kneser_ney
from rnnlm_jax.ngrams.backoff_model import NgramModel
from rnnlm_jax.ngrams.maxent.lbfgs import Point, minimize
from rnnlm_jax.ngrams.maxent.ngram_features import Features, Weights, features_from_tokens
from rnnlm_jax.ngrams.maxent.priors import Priors, newton_step

#: Tolerance of the optimum in nats per token, and the maximum number of steps.
TOLERANCE, MAX_STEPS = 1e-5, 200
#: Largest absolute value of an initial weight; a Kneser-Ney model has backoff weights of 0.
_MAX_INITIAL_WEIGHT = 20.0


def train(
    text: EncodedText,
    vocabulary: Vocabulary,
    order: int,
    *,
    priors: Priors | None = None,
    progress: Progress = no_progress,
) -> NgramModel:
    """Train a maximum entropy model of all n-grams of a text (Rosenfeld 1996; Alumäe & Kurimo 2010, section 2).

        P(w | h) = e^{Σ_k λ(h_k w)} / Σ_v e^{Σ_k λ(h_k v)},     min_λ −Σ ln P − ln p(λ)

    with h_k the last k − 1 words of h, and a weight for each n-gram of the text. The objective is strictly convex, so
    the result does not depend on the initial weights. The model is in backoff form, like Kneser-Ney models, and
    can be written as an ARPA file.

    Args:
        text: training text, encoded by ``vocabulary``.
        vocabulary: the V words.
        order: length of the longest n-grams, 1 to 1000.
        priors: p(λ); default: values chosen on Penn Treebank.
        progress: called with the number of tokens after each step of the optimiser.

    Raises:
        ArgumentError: ``order`` is out of range.
        DataError: the text has no tokens.
    """
    priors = Priors() if priors is None else priors
    features = count_features(text, vocabulary, order)
    start = kneser_ney_weights(features, text, vocabulary)
    weights = optimal_weights(features, priors, start, progress=progress)
    return model_from_weights(features, weights, vocabulary, priors=priors)


def count_features(text: EncodedText, vocabulary: Vocabulary, order: int) -> Features:
    """Count the n-grams of a text.

    Raises:
        ArgumentError: ``order`` is out of range.
        DataError: the text has no tokens.
    """
    kneser_ney.require_order(order)
    if len(text) == 0:
        raise DataError("the text has no tokens to count n-grams of: give one that is not empty")
    return features_from_tokens(text.tokens, vocabulary.size, vocabulary.eos_id, order=order)


def kneser_ney_weights(features: Features, text: EncodedText, vocabulary: Vocabulary) -> Weights:
    """Return the weights of the Kneser-Ney model, which is near the optimum: ``ln p(h w) / (b(h) p(h' w))``."""
    levels = kneser_ney.train(text, vocabulary, features.order).levels
    weights = [levels[0].log_prob.copy()]
    weights[0][vocabulary.size] = 0.0
    for gram, below, level in zip(features.grams[1:], levels, levels[1:], strict=False):
        weights.append(level.log_prob - below.log_backoff[gram.contexts] - below.log_prob[gram.suffixes])
    return [np.clip(np.nan_to_num(weight), -_MAX_INITIAL_WEIGHT, _MAX_INITIAL_WEIGHT) for weight in weights]


def optimal_weights(
    features: Features,
    priors: Priors,
    start: Weights,
    *,
    progress: Progress = no_progress,
    tolerance: float = TOLERANCE,
) -> Weights:
    """Return the weights that minimise ``−ln P − ln p`` to ``tolerance`` nats per token; warn if it is not reached."""
    borders = np.cumsum([weight.size for weight in start])[:-1]
    by_order = priors.by_order(features.order)
    precisions = [precision for _, precision in by_order]

    def evaluate(x: np.ndarray) -> Point:
        weights = np.split(x, borders)
        found = features.score(weights)
        value, expected = features.nats(found), features.expected(found)
        gradient = []
        for gram, weight, expects, (discount, precision) in zip(
            features.grams, weights, expected, by_order, strict=True
        ):
            value += discount * float(weight.sum()) + precision / 2 * float(weight @ weight)
            gradient.append(expects - gram.counts + discount + precision * weight)

        def precondition(rest: np.ndarray) -> np.ndarray:
            return np.concatenate(newton_step(features, expected, precisions, gradient=np.split(rest, borders)))

        return Point(x, value, np.concatenate(gradient), precondition)

    tokens, steps = round(features.tokens), 0

    def count_step() -> None:
        nonlocal steps
        steps += 1
        progress(tokens)

    found = minimize(
        evaluate, np.concatenate(start), tolerance=tolerance * tokens, max_steps=MAX_STEPS, progress=count_step
    )
    if steps == MAX_STEPS:
        warn(f"the optimiser stopped after {MAX_STEPS} steps, not within {tolerance:g} nats per token of the optimum")
    return np.split(found.x, borders)


def model_from_weights(features: Features, weights: Weights, vocabulary: Vocabulary, *, priors: Priors) -> NgramModel:
    """Return the model with given weights, in backoff form."""

    def joined(values: tuple[float, ...]) -> str:
        return "/".join(f"{value:.4g}" for value in values)

    source = (
        f"maximum entropy {features.order}-gram of {features.tokens:,.0f} tokens; "
        f"discounts {joined(priors.discounts)}, variances {joined(priors.variances)} from order 2 on"
    )
    return NgramModel(vocabulary, features.levels(features.score(weights)), source)
