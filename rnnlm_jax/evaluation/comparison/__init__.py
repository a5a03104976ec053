"""One evaluator for all models: trained runs and models of counts, their mixtures, caches, dynamic evaluation.

Everything here asks of a model what ``Scorer`` says and no more.
"""

from rnnlm_jax.evaluation.comparison.comparable import require_comparable
from rnnlm_jax.evaluation.comparison.comparing import compare
from rnnlm_jax.evaluation.comparison.comparison_table import Table
from rnnlm_jax.evaluation.comparison.counted_model import unigram_cache
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import Dynamic, dynamic, dynamic_nats
from rnnlm_jax.evaluation.comparison.gradient_scale import gradient_scale
from rnnlm_jax.evaluation.comparison.mixture import Mixture, MixtureWeights, fit_weights, mixture, mixture_nats
from rnnlm_jax.evaluation.comparison.neural_cache import NeuralCache, neural_cache
from rnnlm_jax.evaluation.comparison.opening import names_of, open_scorer
from rnnlm_jax.evaluation.comparison.per_word import PerWordTable, compare_per_word
from rnnlm_jax.evaluation.comparison.scorer import About, Scorer

__all__ = [
    "About",
    "Dynamic",
    "Mixture",
    "MixtureWeights",
    "NeuralCache",
    "PerWordTable",
    "Scorer",
    "Table",
    "compare",
    "compare_per_word",
    "dynamic",
    "dynamic_nats",
    "fit_weights",
    "gradient_scale",
    "mixture",
    "mixture_nats",
    "names_of",
    "neural_cache",
    "open_scorer",
    "require_comparable",
    "unigram_cache",
]
