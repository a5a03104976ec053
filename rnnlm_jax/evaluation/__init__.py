"""Measure how well a language model predicts text: perplexity of a corpus, scores of single sentences.

    result = evaluation.evaluate(model, params, text, vocabulary)    # one continuous stream: the exact figure
    result.perplexity, result.nll, result.tokens, result.bits_per_character
    scores = evaluation.score_sentences(model, params, text, vocabulary)    # a list of arrays, -ln P of each token
    fit = evaluation.fit_temperature(model, params, valid, vocabulary)      # on validation text
    tempered = evaluation.with_temperature(model, fit.temperature)          # a model as any other

Negative log-likelihoods are in nats and are summed together with a count of tokens; perplexity is formed once, at the
end. Four packages build on this one:

- ``evaluation.comparison``: several models on one text, mixtures, caches, dynamic evaluation;
- ``evaluation.rescoring``: n-best lists of a recogniser or translator, rescored and tuned for word errors;
- ``evaluation.minimal_pairs``: pairs of sentences of which a model should prefer the first;
- ``evaluation.horizons``: how far back a trained model's gradient and predictions reach.
"""

from rnnlm_jax.evaluation.perplexity import Evaluation, evaluate, evaluation_from_nll, text_nll
from rnnlm_jax.evaluation.sentence_scores import score_sentences
from rnnlm_jax.evaluation.temperature import TemperatureFit, fit_temperature, with_temperature
from rnnlm_jax.system.progress import MakeProgressBar, Progress, ProgressBar, no_progress

__all__ = [
    "Evaluation",
    "MakeProgressBar",
    "Progress",
    "ProgressBar",
    "TemperatureFit",
    "evaluate",
    "evaluation_from_nll",
    "fit_temperature",
    "no_progress",
    "score_sentences",
    "text_nll",
    "with_temperature",
]
