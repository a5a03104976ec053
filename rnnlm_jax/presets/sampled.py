"""Sampled output layers on Penn Treebank: Zaremba's small LSTM, trained as it is, but for the output layer.

The question is how far they stay behind the full softmax of the same model, whose test perplexity is 114.5. At 10,000
words nothing is gained in return; what a step costs with larger vocabularies is in benchmarks/README.md. Command:
``rnnlm-jax train sampled/importance --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import zaremba


def importance() -> Config:
    """A softmax over the target and 1024 words, log-uniform over ranks (Jozefowicz et al. 2016, section 3.1)."""
    return _config("importance", num_samples=1024)


def nce() -> Config:
    """2048 words of noise, unigram to the power 0.75 (Mnih & Teh 2012; Jozefowicz et al. 2016, section 3.1)."""
    return _config("nce", num_samples=2048, power=0.75)


def blackout() -> Config:
    """2048 words, unigram to the power 0.75: α = 0.4 of Ji et al. (2016, section 4) is for far larger vocabularies."""
    return _config("blackout", num_samples=2048, power=0.75)


def _config(output: str, **options: Any) -> Config:
    return replace(zaremba.small(), model={"output": output, "output_options": tuple(options.items())})
