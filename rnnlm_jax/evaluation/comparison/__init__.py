"""Compare language models of any kind on one text: trained runs, n-gram models, mixtures, caches, dynamic evaluation.

    scorers = [open_scorer("runs/lstm"), open_scorer("models/kn5.npz")]
    table = compare(scorers, NamedText("ptb:test", text), make_bar=token_bar)
    print(table.text())

``Scorer`` is the contract: a model with a name and a vocabulary that gives the negative log-likelihood of every token
of a text. All functions here use a model through it alone. ``compare`` needs one vocabulary for all models;
``compare_per_word`` compares models that split the text differently.
"""

from rnnlm_jax.evaluation.comparison.compare_models import NamedText, compare
from rnnlm_jax.evaluation.comparison.comparison_table import ComparisonTable
from rnnlm_jax.evaluation.comparison.counted_model import CountedModel, open_counted_model, unigram_cache
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import DEFAULTS, DynamicRule, dynamic_nll, dynamic_rule
from rnnlm_jax.evaluation.comparison.gradient_scale import gradient_scale
from rnnlm_jax.evaluation.comparison.mixture import Mixture, MixtureWeights, fit_weights, mixture, mixture_nll
from rnnlm_jax.evaluation.comparison.neural_cache import NeuralCache, neural_cache
from rnnlm_jax.evaluation.comparison.per_word_comparison import PerWordTable, compare_per_word
from rnnlm_jax.evaluation.comparison.same_vocabulary import require_same_vocabulary
from rnnlm_jax.evaluation.comparison.scorer import ModelInfo, Scorer
from rnnlm_jax.evaluation.comparison.scorer_from_path import names_from_paths, open_scorer
from rnnlm_jax.evaluation.comparison.trained_run import TrainedRun, open_trained_run, text_of_run, training_text

__all__ = [
    "DEFAULTS",
    "ComparisonTable",
    "CountedModel",
    "DynamicRule",
    "Mixture",
    "MixtureWeights",
    "ModelInfo",
    "NamedText",
    "NeuralCache",
    "PerWordTable",
    "Scorer",
    "TrainedRun",
    "compare",
    "compare_per_word",
    "dynamic_nll",
    "dynamic_rule",
    "fit_weights",
    "gradient_scale",
    "mixture",
    "mixture_nll",
    "names_from_paths",
    "neural_cache",
    "open_counted_model",
    "open_scorer",
    "open_trained_run",
    "require_same_vocabulary",
    "text_of_run",
    "training_text",
    "unigram_cache",
]
