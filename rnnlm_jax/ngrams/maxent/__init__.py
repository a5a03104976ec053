"""Maximum entropy n-gram models: one weight for each n-gram of the text, trained to the optimum.

model = maxent.train(text, vocabulary, order=5)                            # an NgramModel, as for Kneser-Ney
priors = maxent.choose_priors(text, vocabulary, 5, held_out=other)        # discounts and variances, on other text
"""

from rnnlm_jax.ngrams.maxent.maxent_training import train
from rnnlm_jax.ngrams.maxent.prior_selection import choose_priors
from rnnlm_jax.ngrams.maxent.priors import Priors

__all__ = ["Priors", "choose_priors", "train"]
