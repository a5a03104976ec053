"""An LSTM with a projection, two layers of it, and character-CNN inputs, on Penn Treebank.

Paper: Jozefowicz, Vinyals, Schuster, Shazeer & Wu 2016, "Exploring the Limits of Language Modeling", at a size that a
CPU can train: 512 units projected to 128 in place of 2048 and 512, or 8192 and 1024 (``lm1b/…`` has those). Trained
like ``dropout/importance`` for 6 epochs: plain gradient descent, dropout 0.25, importance sampling with 1024 words.
Expected: test perplexity 99.4 (``lstm``), 118.6 (``two-layers``), 125.3 (``char-cnn``); no published figures at this
size.
Time: 11, 15 and 32 minutes on 2 CPU cores.
Command: ``rnnlm-jax train jozefowicz/lstm --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import dropout

#: The filters of Kim et al. 2016 (section 4, small model); the paper's 4096 are for a vocabulary 80 times as large.
_CHARACTERS: tuple[tuple[str, Any], ...] = (("filters", "25+50+75+100+125+150"), ("highways", 1))


def lstm() -> Config:
    """Return one layer (section 3.3)."""
    return _config(layers=1)


def two_layers() -> Config:
    """Return two layers, with default initializers and learning rate 0.5: with 1 they diverge."""
    return replace(_config(layers=2, init_scale=None), optimizer={"learning_rate": 0.5})


def char_cnn() -> Config:
    """Return two layers over character-CNN inputs (section 3.2)."""
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
        optimizer={"schedule_options": (("divisor", 2.0), ("after", 3))},
        training={"epochs": 6},
    )
