"""A feed-forward network that reads the last four words, on Penn Treebank.

Paper: Bengio, Ducharme, Vincent & Jauvin 2003, "A Neural Probabilistic Language Model". Importance sampling and dropout
are later than the paper. Trained like ``mikolov/rnn`` at about a quarter of the learning rate, since the slope of tanh
is up to four times that of the sigmoid.
Expected: test perplexity 129.8; Mikolov (2012) reports 140.2 for such a network, and 141.2 for a Kneser-Ney 5-gram
model.
Time: 29 minutes on 2 CPU cores.
Command: ``rnnlm-jax train feed-forward/5gram --run DIR``.
"""

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import mikolov


def five_gram() -> Config:
    """Return the network: 200 units, embedding 200, importance sampling with 1024 words, dropout, 13 epochs."""
    return replace(
        mikolov.rnn(),
        model={"cell": "feed-forward", "cell_options": (("order", 5),), "hidden_size": 200},
        optimizer={"learning_rate": 0.12},
    )
