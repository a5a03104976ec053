"""The embedded default: an LSTM on Python's own language reference, a text of 53 thousand words that is always there.

So small a text is soon known by heart: hence tied embeddings, much dropout, and a learning rate that soon falls.
Under three minutes on two cores, beside a unigram and a bigram model of the same text. Command:
``rnnlm-jax train --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def demo() -> Config:
    """200 units, tied embeddings, locked dropout, Adam, 8 epochs."""
    return _config("lstm")


def elman() -> Config:
    """The same with a simple recurrent network, to see how much less far back it looks."""
    return _config("elman-tanh")


def _config(cell: str) -> Config:
    return Config(
        data=DataConfig(corpus="pydoc", batch_size=10, bptt=25),
        model=ModelConfig(
            cell=cell,
            hidden_size=200,
            tie_embeddings=True,
            dropout_input=0.3,
            dropout_output=0.5,
            dropout_locked=True,
        ),
        optimizer=OptimizerConfig(optimizer="adam", learning_rate=0.004, decay=1.6, decay_after=3),
        training=TrainingConfig(epochs=8),
    )
