"""One evaluator for all models: trained runs and models of counts, their mixtures, caches, dynamic evaluation.

Everything here asks of a model what ``Scorer`` says and no more.
"""

from rnnlm_jax.evaluation.comparison.compare_models import compare
from rnnlm_jax.evaluation.comparison.comparison_table import Table
from rnnlm_jax.evaluation.comparison.counted_model import unigram_cache
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import Dynamic, dynamic, dynamic_nll
from rnnlm_jax.evaluation.comparison.gradient_scale import gradient_scale
from rnnlm_jax.evaluation.comparison.mixture import Mixture, MixtureWeights, fit_weights, mixture, mixture_nll
from rnnlm_jax.evaluation.comparison.neural_cache import NeuralCache, neural_cache
from rnnlm_jax.evaluation.comparison.per_word_comparison import PerWordTable, compare_per_word
from rnnlm_jax.evaluation.comparison.same_vocabulary import require_same_vocabulary
from rnnlm_jax.evaluation.comparison.scorer import About, Scorer
from rnnlm_jax.evaluation.comparison.scorer_from_path import names_from_paths, open_scorer

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
    "dynamic_nll",
    "fit_weights",
    "gradient_scale",
    "mixture",
    "mixture_nll",
    "names_from_paths",
    "neural_cache",
    "open_scorer",
    "require_same_vocabulary",
    "unigram_cache",
]
