"""A run made of the weights of PyTorch's ``word_language_model`` example and a list of its words."""

import numpy as np

from rnnlm_jax.config import Config, DataConfig
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop import torch_language_model
from rnnlm_jax.jobs.run_folder import START, Run, build_model


def torch_run(
    arrays: dict[str, np.ndarray], vocabulary: Vocabulary, name: str, kind: str | None = None, tied: bool | None = None
) -> Run:
    """The language model that a ``state_dict`` of the example is, as a run that was never trained here.

    Args:
        arrays: the state dict, by name.
        vocabulary: its words in the order of their numbers.
        name: of the file, for errors.
        kind: RNN_TANH, RNN_RELU, LSTM or GRU; read from the shapes where they tell.
        tied: whether encoder and decoder share a matrix; None: if the file says so.

    Raises:
        UserError: if these are no such weights, or of another number of words.
    """
    try:
        config, params = torch_language_model.load(arrays, tied, kind)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    words = len(params.output.b)
    if words != vocabulary.size:
        raise UserError(f"{name} is a model of {words} words, and the vocabulary has {vocabulary.size}: give its own")
    model = build_model(config, vocabulary.size)
    # What it was trained on is not known: whoever asks for that text is told that there is none of this name.
    data = DataConfig(corpus="unknown", level=vocabulary.level)
    return Run(Config(data=data, model=config), vocabulary, model, params, START)
