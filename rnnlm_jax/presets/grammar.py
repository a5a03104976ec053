"""A language whose exact entropy is known, to see how close a recurrent network comes.

The ``grammar`` corpus is drawn from an unambiguous probabilistic grammar in which verbs agree with their subjects
across distractors, so no model can have an expected loss below its entropy rate. 100 units, 40,000 sentences, 6
epochs of Adam. Command: ``rnnlm-jax train grammar/lstm --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def lstm() -> Config:
    """The LSTM, which ends within 5 % of the entropy rate."""
    return _config("lstm")


def elman() -> Config:
    """The simple recurrent network, for comparison."""
    return _config("elman-tanh")


def _config(cell: str) -> Config:
    return Config(
        data=DataConfig(corpus="grammar", batch_size=32, bptt=35),
        model=ModelConfig(cell=cell, hidden_size=100),
        optimizer=OptimizerConfig(optimizer="adam", learning_rate=0.004, decay=2.0, decay_after=2),
        training=TrainingConfig(epochs=6),
    )
