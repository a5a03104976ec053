"""Output layers on Penn Treebank where nothing overfits: Zaremba's small LSTM with dropout, trained alike for all.

Without dropout a layer that learns the training text better loses on other text, which hides what is asked: how far it
stays behind the full softmax of the same model. Dropout 0.25 wherever Zaremba, Sutskever & Vinyals (2014) have it, the
rate halved after each epoch from the seventh on, 12 epochs. Command: ``rnnlm-jax train dropout/adaptive --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import zaremba


def softmax() -> Config:
    """The full softmax."""
    return _config("softmax")


def adaptive() -> Config:
    """4000 words in the head, the others as wide, with biases as the full softmax has them."""
    return _config("adaptive", cutoffs=4000, div_value=1, bias=True)


def importance() -> Config:
    """1024 words, log-uniform over ranks, as in ``sampled/importance``."""
    return _config("importance", num_samples=1024)


def nce() -> Config:
    """2048 words of noise as in ``sampled/nce``, but each drawn once at most: over more words that learns faster."""
    return _config("nce", num_samples=2048, power=0.75, unique=True)


def blackout() -> Config:
    """As ``sampled/blackout``, with hits counted: 2048 samples of 10,000 words, the paper's 2000 are of 800,000."""
    return _config("blackout", num_samples=2048, power=0.75, remove_accidental_hits=False)


def _config(output: str, **options: Any) -> Config:
    return replace(
        zaremba.small(),
        model={
            "output": output,
            "output_options": tuple(options.items()),
            **dict.fromkeys(("dropout_input", "dropout_hidden", "dropout_output"), 0.25),
        },
        optimizer={"decay_after": 6},
        training={"epochs": 12},
    )
