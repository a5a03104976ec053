"""The maximum entropy n-gram model: one weight for each n-gram that was seen, trained to the optimum.

model = maxent.train(text, vocabulary, order=5)                            # an NgramModel, as Kneser-Ney's
priors = maxent.choose_priors(text, vocabulary, 5, held_out)              # discounts and variances, on other text
"""

from rnnlm_jax.ngrams.maxent.maxent_training import train
from rnnlm_jax.ngrams.maxent.prior_selection import choose_priors
from rnnlm_jax.ngrams.maxent.priors import Priors

__all__ = ["Priors", "choose_priors", "train"]
