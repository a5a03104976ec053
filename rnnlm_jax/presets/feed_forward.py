"""Bengio, Ducharme, Vincent & Jauvin 2003, "A Neural Probabilistic Language Model", on Penn Treebank.

A network with one hidden layer that reads the last four words. Mikolov's thesis (2012) gives it a test perplexity of
140.2, and a Kneser-Ney 5-gram 141.2. Trained like ``mikolov/rnn``, at about a quarter of the rate: the slope of a tanh
unit is up to four times that of a sigmoid. Importance sampling and dropout are later than the paper. Command:
``rnnlm-jax train feed-forward/5gram --run DIR``.
"""

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import mikolov


def five_gram() -> Config:
    """200 units, 200 features a word, a softmax over each word and 1024 others, dropout, 13 epochs."""
    return replace(
        mikolov.rnn(),
        model={"cell": "feed-forward", "cell_options": (("order", 5),), "hidden_size": 200},
        optimizer={"learning_rate": 0.12},
    )
