"""How far back do recurrent networks of equal size look? Four cells on Penn Treebank, 2.70 million parameters each.

One layer, an embedding of 128, ten streams of 70 tokens a step, 4 epochs of Adam; the number of units is what brings
each model within 0.3 % of the LSTM's parameter count. Checkpoints of all epochs are kept, to see horizons grow. And the
opposite fault: a relu network under plain gradient descent at a learning rate of 1, with norm clipping and without.
Command: ``rnnlm-jax train vanishing/lstm --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig

EPOCHS = 4


def elman_sigmoid() -> Config:
    """The simple recurrent network with the sigmoid, whose slope is 1/4 at most."""
    return _config("elman-sigmoid", hidden_size=138)


def elman_tanh() -> Config:
    """The simple recurrent network with tanh."""
    return _config("elman-tanh", hidden_size=138)


def gru() -> Config:
    """The gated recurrent unit."""
    return _config("gru", hidden_size=131)


def lstm() -> Config:
    """The LSTM, to which the others are matched."""
    return _config("lstm", hidden_size=128)


def exploding() -> Config:
    """A relu network whose gradient explodes within a few steps: loss and gradient become NaN, and training stops."""
    return _descent(clip_norm=None)


def clipped() -> Config:
    """The same, gradients of a larger norm than 1 rescaled to it: it trains."""
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
        optimizer=OptimizerConfig(optimizer="adam", learning_rate=0.003, decay=2.5, decay_after=2, clip_norm=1.0),
        training=TrainingConfig(epochs=EPOCHS, keep_last=EPOCHS),
    )
