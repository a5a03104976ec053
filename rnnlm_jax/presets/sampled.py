"""Sampled output layers on Penn Treebank: ``zaremba/small`` with another output layer and no other change.

Papers: Jozefowicz et al. 2016 (importance sampling), Mnih & Teh 2012 (NCE), Ji et al. 2016 (BlackOut). How close do
they come to the full softmax of the same model? With 10,000 words they save no time; benchmarks/README.md has the cost
of a step for larger vocabularies.
Expected: test perplexity 114.2 (importance sampling), 108.1 (NCE), 132.1 (BlackOut, best of 8 epochs); full softmax
114.3.
Time: 20 to 62 minutes on 2 CPU cores.
Command: ``rnnlm-jax train sampled/importance --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import zaremba


def importance() -> Config:
    """Return a softmax over the target and 1024 words, log-uniform over ranks (Jozefowicz et al. 2016, section 3.1)."""
    return _config("importance", num_samples=1024)


def nce() -> Config:
    """Return NCE with 2048 words, unigram to the power 0.75 (Mnih & Teh 2012; Jozefowicz et al. 2016, section 3.1)."""
    return _config("nce", num_samples=2048, power=0.75)


def blackout() -> Config:
    """Return BlackOut with 2048 words, unigram to the power 0.75.

    Ji et al. (2016, section 4) use the power 0.4, for far larger vocabularies.
    """
    return _config("blackout", num_samples=2048, power=0.75)


def _config(output: str, **options: Any) -> Config:
    return replace(zaremba.small(), model={"output": output, "output_options": tuple(options.items())})
