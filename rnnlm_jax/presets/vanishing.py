"""How far back do recurrent networks of equal size look? Four cells on Penn Treebank, 2.70 million parameters each.

Papers: Pascanu, Mikolov & Bengio 2013 (vanishing and exploding gradients). One layer, embedding 128, ten streams of 70
tokens per step, 4 epochs of Adam; the number of units brings each model within 0.3 % of the LSTM's parameter count.
Checkpoints of all epochs are kept. ``exploding`` and ``clipped``: a relu network with plain gradient descent at
learning rate 1, without and with clipping, on the ``grammar`` corpus.
Expected: test perplexity 118.9 (GRU), 131.9 (LSTM), 143.2 (tanh), 146.7 (sigmoid); ``exploding`` stops with an error.
Time: 13 to 67 minutes on 2 CPU cores shared with other work.
Command: ``rnnlm-jax train vanishing/lstm --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig

EPOCHS = 4


def elman_sigmoid() -> Config:
    """Return the simple recurrent network with the sigmoid, whose slope is at most 1/4."""
    return _config("elman-sigmoid", hidden_size=138)


def elman_tanh() -> Config:
    """Return the simple recurrent network with tanh."""
    return _config("elman-tanh", hidden_size=138)


def gru() -> Config:
    """Return the gated recurrent unit."""
    return _config("gru", hidden_size=131)


def lstm() -> Config:
    """Return the LSTM, whose parameter count the others match."""
    return _config("lstm", hidden_size=128)


def exploding() -> Config:
    """Return a relu network whose gradient explodes within a few steps: the loss becomes NaN, and training stops."""
    return _descent(clip_norm=None)


def clipped() -> Config:
    """Return the same with gradients clipped to norm 1: it trains."""
    return _descent(clip_norm=1.0)


def _descent(clip_norm: float | None) -> Config:
    return Config(
        data=DataConfig(corpus="grammar", batch_size=32, bptt=35),
        model=ModelConfig(cell="elman-relu", hidden_size=100),
        optimizer=OptimizerConfig(optimizer="sgd", learning_rate=1.0, clip_norm=clip_norm),
        training=TrainingConfig(epochs=1, log_every=1),
    )


def _config(cell: str, hidden_size: int) -> Config:
    return Config(
        data=DataConfig(corpus="ptb", batch_size=10, bptt=70),
        model=ModelConfig(cell=cell, hidden_size=hidden_size, embedding_size=128),
        optimizer=OptimizerConfig(
            optimizer="adam",
            learning_rate=0.003,
            schedule="epochs",
            schedule_options=(("divisor", 2.5), ("after", 2)),
            clip_norm=1.0,
        ),
        training=TrainingConfig(epochs=EPOCHS, keep_last=EPOCHS),
    )
