"""The default experiment: an LSTM on Python's own language reference, a text of 53,000 words that needs no download.

Paper: none. So small a text is easily overfitted: hence tied embeddings, much dropout, and a learning rate that soon
falls.
Expected: a test perplexity well below that of the unigram and the bigram model, which are printed beside it.
Time: under 3 minutes for both presets on 2 CPU cores.
Command: ``rnnlm-jax train --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def demo() -> Config:
    """Return the LSTM: 200 units, tied embeddings, variational dropout, Adam, 8 epochs."""
    return _config("lstm")


def elman() -> Config:
    """Return the same with a simple recurrent network (tanh), which uses less context."""
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
        optimizer=OptimizerConfig(
            optimizer="adam",
            learning_rate=0.004,
            schedule="epochs",
            schedule_options=(("divisor", 1.6), ("after", 3)),
        ),
        training=TrainingConfig(epochs=8),
    )
