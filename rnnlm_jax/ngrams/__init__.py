"""N-gram models over token ids: Kneser-Ney, maximum entropy, sparse non-negative matrices, and a cache.

model = ngrams.train(text, vocabulary, order=5)      # interpolated modified Kneser-Ney
nats = model.token_nll(test_text)                    # -ln P of each token
model.save("kn5.model"); ngrams.load("kn5.model")
ngrams.write_arpa(model, "kn5.arpa"); ngrams.load("kn5.arpa")
"""

from rnnlm_jax.ngrams import maxent, snm
from rnnlm_jax.ngrams.arpa_reading import read_arpa
from rnnlm_jax.ngrams.arpa_writing import write_arpa
from rnnlm_jax.ngrams.backoff_model import NgramModel
from rnnlm_jax.ngrams.baselines import BigramBaseline, UnigramBaseline
from rnnlm_jax.ngrams.kneser_ney import train
from rnnlm_jax.ngrams.model_loading import CountModel, load
from rnnlm_jax.ngrams.unigram_cache import UnigramCache

__all__ = [
    "BigramBaseline",
    "CountModel",
    "NgramModel",
    "UnigramBaseline",
    "UnigramCache",
    "load",
    "maxent",
    "read_arpa",
    "snm",
    "train",
    "write_arpa",
]
