"""A simple recurrent network with word classes, alone and with hashed n-gram features, on Penn Treebank.

Paper: Mikolov, Deoras, Povey, Burget & Cernocky 2011, "Strategies for training large scale neural network language
models". The features are trained jointly with the network. All other settings are the same for both: plain gradient
descent in small batches as in their toolkit, learning rate 0.1 per token, halved after each epoch from the fifth on.
Expected: test perplexity 146.5 alone, 123.7 with the features.
Time: 9 and 19 minutes on 2 CPU cores.
Command: ``rnnlm-jax train rnnme/maxent --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def alone() -> Config:
    """Return the network alone: 200 units and 100 classes."""
    return _config("class")


def maxent() -> Config:
    """Return the same with features of up to four preceding words, in a table of 2.7e8 weights."""
    return _config("maxent", table_size=2.68e8, order=5)


def _config(output: str, **options: Any) -> Config:
    return Config(
        data=DataConfig(corpus="ptb", batch_size=5, bptt=20),
        model=ModelConfig(cell="elman-sigmoid", hidden_size=200, output=output, output_options=tuple(options.items())),
        optimizer=OptimizerConfig(
            optimizer="sgd",
            learning_rate=0.5,
            schedule="epochs",
            schedule_options=(("divisor", 2.0), ("after", 4)),
            clip_norm=5.0,
            loss_normalization="sequence",
        ),
        training=TrainingConfig(epochs=8, valid_streams=10),
    )
