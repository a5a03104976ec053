"""A maximum entropy n-gram model from a text."""

from collections.abc import Callable

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import DataError, warn
from rnnlm_jax.ngrams import kneser_ney
from rnnlm_jax.ngrams.backoff_model import NgramModel
from rnnlm_jax.ngrams.maxent.lbfgs import Point, minimize
from rnnlm_jax.ngrams.maxent.ngram_features import Features, Weights, features_from_tokens
from rnnlm_jax.ngrams.maxent.priors import Priors, newton_step

#: Nats a token that may be left to gain, and the most steps towards them.
TOLERANCE, MAX_STEPS = 1e-5, 200
#: Of a weight to start with: what Kneser and Ney rule out has a backoff weight of 0.
_LARGEST = 20.0


def train(
    text: EncodedText,
    vocabulary: Vocabulary,
    order: int,
    priors: Priors | None = None,
    progress: Callable[[int], object] = lambda tokens: None,
) -> NgramModel:
    """Train a maximum entropy model of all n-grams of a text (Rosenfeld 1996; Alumäe & Kurimo 2010, section 2).

        P(w | h) = e^{Σ_k λ(h_k w)} / Σ_v e^{Σ_k λ(h_k v)},     min_λ −Σ ln P − ln p(λ)

    with h_k the last k − 1 words of h and a weight for each n-gram that the text has; what it lacks has none. The
    objective is convex, so its minimum depends on nothing else. The model is one in backoff form like those of
    Kneser-Ney, and has an ARPA file.

    Args:
        text: the training text, encoded by ``vocabulary``.
        vocabulary: V words.
        order: the longest n-grams, 1 to 1000.
        priors: p(λ); those that suit Penn Treebank unless given.
        progress: told the number of tokens after each step of the descent.

    Raises:
        DataError: for an order out of range or a text without tokens.
    """
    priors = Priors() if priors is None else priors
    features = count_features(text, vocabulary, order)
    weights = optimal_weights(features, priors, kneser_ney_weights(features, text, vocabulary), progress)
    return model_from_weights(features, weights, vocabulary, priors)


def count_features(text: EncodedText, vocabulary: Vocabulary, order: int) -> Features:
    """The features of a text.

    Raises:
        DataError: for an order out of range or a text without tokens.
    """
    kneser_ney.require_order(order)
    if len(text) == 0:
        raise DataError("there are no tokens to count n-grams of: give a text that is not empty")
    return features_from_tokens(text.tokens, vocabulary.size, vocabulary.eos_id, order)


def kneser_ney_weights(features: Features, text: EncodedText, vocabulary: Vocabulary) -> Weights:
    """Weights that make the model that of Kneser and Ney, which is near the optimum: ``ln p(h w) / (b(h) p(h' w))``."""
    levels = kneser_ney.train(text, vocabulary, features.order).levels
    weights = [levels[0].log_prob.copy()]
    weights[0][vocabulary.size] = 0.0
    for gram, below, level in zip(features.grams[1:], levels, levels[1:], strict=False):
        weights.append(level.log_prob - below.log_backoff[gram.contexts] - below.log_prob[gram.suffixes])
    return [np.clip(np.nan_to_num(weight), -_LARGEST, _LARGEST) for weight in weights]


def optimal_weights(
    features: Features,
    priors: Priors,
    start: Weights,
    progress: Callable[[int], object] = lambda tokens: None,
    tolerance: float = TOLERANCE,
) -> Weights:
    """The weights of the least ``−ln P − ln p``, to ``tolerance`` nats a token; a warning tells if they are not."""
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
            return np.concatenate(newton_step(features, expected, precisions, np.split(rest, borders)))

        return Point(x, value, np.concatenate(gradient), precondition)

    tokens, steps = round(features.tokens), 0

    def told() -> None:
        nonlocal steps
        steps += 1
        progress(tokens)

    found = minimize(evaluate, np.concatenate(start), tolerance * tokens, MAX_STEPS, told)
    if steps == MAX_STEPS:
        warn(f"the descent was stopped after {MAX_STEPS} steps, short of {tolerance:g} nats a token from the optimum")
    return np.split(found.x, borders)


def model_from_weights(features: Features, weights: Weights, vocabulary: Vocabulary, priors: Priors) -> NgramModel:
    """Weights as a model in backoff form."""

    def shown(values: tuple[float, ...]) -> str:
        return "/".join(f"{value:.4g}" for value in values)

    source = (
        f"maximum entropy {features.order}-gram of {features.tokens:,.0f} tokens; discounts {shown(priors.discounts)}, "
        f"variances {shown(priors.variances)} from order 2 on"
    )
    return NgramModel(vocabulary, features.levels(features.score(weights)), source)
