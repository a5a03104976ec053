"""Mikolov, Deoras, Povey, Burget & Cernocky 2011, "Strategies for training large scale neural network language models".

A simple recurrent network whose words are predicted by way of classes, alone and with hashed n-gram features trained
beside it, on Penn Treebank; everything else is the same for both. Plain gradient descent in small batches, as in their
toolkit: a rate of 0.1 a token, halved after each epoch from the fifth on. Command:
``rnnlm-jax train rnnme/maxent --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def alone() -> Config:
    """200 units and 100 classes."""
    return _config("class")


def maxent() -> Config:
    """The same with features of up to four words before each, in a table of 2.7e8 weights."""
    return _config("maxent", table_size=2.68e8, order=5)


def _config(output: str, **options: Any) -> Config:
    return Config(
        data=DataConfig(corpus="ptb", batch_size=5, bptt=20),
        model=ModelConfig(cell="elman-sigmoid", hidden_size=200, output=output, output_options=tuple(options.items())),
        optimizer=OptimizerConfig(
            optimizer="sgd", learning_rate=0.5, decay=2.0, decay_after=4, clip_norm=5.0, loss_normalization="sequence"
        ),
        training=TrainingConfig(epochs=8, valid_streams=10),
    )
