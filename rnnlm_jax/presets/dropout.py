"""Output layers on Penn Treebank without overfitting: the LSTM of ``zaremba/small`` with dropout 0.25.

Paper: Zaremba, Sutskever & Vinyals 2014 for the model; dropout where they have it, the learning rate halved after each
epoch from the seventh on, 12 epochs. Without dropout, an output layer that fits the training text better can be worse
on test text, which would hide how close each one comes to the full softmax.
Expected: test perplexity 95.5 with the full softmax, 96.2 with the adaptive softmax, 96.9 with BlackOut.
Time: 34 to 52 minutes on 2 CPU cores.
Command: ``rnnlm-jax train dropout/adaptive --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import zaremba


def softmax() -> Config:
    """Return the configuration with the full softmax."""
    return _config("softmax")


def adaptive() -> Config:
    """Return the adaptive softmax: 4000 words in the head, one tail cluster of the same width, with biases."""
    return _config("adaptive", cutoffs=4000, div_value=1, bias=True)


def importance() -> Config:
    """Return importance sampling with 1024 words, log-uniform over ranks, as in ``sampled/importance``."""
    return _config("importance", num_samples=1024)


def nce() -> Config:
    """Return NCE with 2048 words as in ``sampled/nce``, but without replacement, which learns faster."""
    return _config("nce", num_samples=2048, power=0.75, unique=True)


def blackout() -> Config:
    """Return BlackOut as in ``sampled/blackout``, but with accidental hits.

    2048 of 10,000 words are sampled; the paper's 2000 are of 800,000.
    """
    return _config("blackout", num_samples=2048, power=0.75, remove_accidental_hits=False)


def _config(output: str, **options: Any) -> Config:
    return replace(
        zaremba.small(),
        model={
            "output": output,
            "output_options": tuple(options.items()),
            **dict.fromkeys(("dropout_input", "dropout_hidden", "dropout_output"), 0.25),
        },
        optimizer={"schedule_options": (("divisor", 2.0), ("after", 6))},
        training={"epochs": 12},
    )
