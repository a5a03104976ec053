"""Bengio, Ducharme, Vincent & Jauvin 2003, "A Neural Probabilistic Language Model", on Penn Treebank.

A network with one hidden layer that reads the last four words. Mikolov's thesis (2012) gives it a test perplexity of
140.2, and a Kneser-Ney 5-gram 141.2. Tied word vectors, dropout and Adam are later than the paper. Command:
``rnnlm-jax train feed-forward/5gram --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def five_gram() -> Config:
    """200 units, 200 features a word, tied, dropout, Adam, 8 epochs; to be held against the published 140.2."""
    return Config(
        data=DataConfig(corpus="ptb", batch_size=20, window=20),
        model=ModelConfig(
            cell="feed-forward",
            cell_options=(("order", 5),),
            hidden_size=200,
            tie_embeddings=True,
            dropout_input=0.2,
            dropout_output=0.3,
        ),
        optimizer=OptimizerConfig(optimizer="adam", learning_rate=0.002, decay=2.0, decay_after=4),
        training=TrainingConfig(epochs=8),
    )
