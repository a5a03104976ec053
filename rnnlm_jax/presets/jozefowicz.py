"""Jozefowicz, Vinyals, Schuster, Shazeer & Wu 2016, "Exploring the Limits of Language Modeling", on Penn Treebank.

The paper's three steps at a size that one CPU core trains: an LSTM with a projection, two layers of it, and words read
by their spelling. 512 units projected to 128 stand for 2048 and 512, or 8192 and 1024 (``lm1b/…`` has those). Trained
as ``dropout/importance`` is, for 6 epochs: plain gradient descent, dropout 0.25, a softmax over each word and 1024
others. Command: ``rnnlm-jax train jozefowicz/lstm --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import dropout

#: The filters of Kim et al. 2016 (section 4, small model): the paper's 4096 are for a vocabulary 80 times as large.
_CHARACTERS: tuple[tuple[str, Any], ...] = (("filters", "25+50+75+100+125+150"), ("highways", 1))


def lstm() -> Config:
    """One layer (section 3.3)."""
    return _config(layers=1)


def two_layers() -> Config:
    """Two layers, from each part's own initial values and at half the rate: at a rate of 1 they diverge."""
    return replace(_config(layers=2, init_scale=None), optimizer={"learning_rate": 0.5})


def char_cnn() -> Config:
    """Two layers over character-CNN inputs (section 3.2)."""
    return replace(two_layers(), model={"input": "char-cnn", "input_options": _CHARACTERS})


def _config(**model: Any) -> Config:
    return replace(
        dropout.importance(),
        model={
            "cell": "lstm-projected",
            "cell_options": (("projection_size", 128),),
            "hidden_size": 512,
            "embedding_size": 128,
            **model,
        },
        optimizer={"decay_after": 3},
        training={"epochs": 6},
    )
