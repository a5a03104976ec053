"""A language with known entropy, to measure how close recurrent networks come to it.

Paper: none. The ``grammar`` corpus is drawn from an unambiguous probabilistic grammar in which verbs agree with their
subjects across distractors; no model can have an expected loss below its entropy rate of 1.72243 nats per token. 100
units, 40,000 sentences, 6 epochs of Adam.
Expected: test losses 1.0 % (LSTM) and 2.3 % (simple recurrent network) above the entropy rate.
Time: about 1 minute on 2 CPU cores.
Command: ``rnnlm-jax train grammar/lstm --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def lstm() -> Config:
    """Return the LSTM."""
    return _config("lstm")


def elman() -> Config:
    """Return the simple recurrent network (tanh)."""
    return _config("elman-tanh")


def _config(cell: str) -> Config:
    return Config(
        data=DataConfig(corpus="grammar", batch_size=32, bptt=35),
        model=ModelConfig(cell=cell, hidden_size=100),
        optimizer=OptimizerConfig(
            optimizer="adam", learning_rate=0.004, schedule="epochs", schedule_options=(("divisor", 2.0), ("after", 2))
        ),
        training=TrainingConfig(epochs=6),
    )
