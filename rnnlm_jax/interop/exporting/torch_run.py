"""A run from the weights of PyTorch's ``word_language_model`` example and its list of words."""

import numpy as np

from rnnlm_jax.config import Config, DataConfig
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import UserError, WeightsError
from rnnlm_jax.interop import torch_language_model
from rnnlm_jax.jobs.run_folder import START, Run, build_model


def torch_run(
    arrays: dict[str, np.ndarray],
    vocabulary: Vocabulary,
    name: str,
    *,
    kind: str | None = None,
    tied: bool | None = None,
) -> Run:
    """Return the language model in a ``state_dict`` of the example, as a run.

    Args:
        arrays: the state dict, by name.
        vocabulary: its words in the order of their ids.
        name: the file, for error messages.
        kind: RNN_TANH, RNN_RELU, LSTM or GRU; by default inferred from the shapes.
        tied: whether encoder and decoder share a matrix; by default inferred from the arrays.

    Raises:
        WeightsError: if these are not such weights, or of another number of words.
    """
    try:
        config, params = torch_language_model.load(arrays, tied=tied, kind=kind)
    except UserError as error:
        raise WeightsError(f"{name}: {error}") from error
    words = len(params.output.b)
    if words != vocabulary.size:
        raise WeightsError(f"{name} is a model of {words} words, and the vocabulary has {vocabulary.size}: give its")
    model = build_model(config, vocabulary.size)
    # The training text is unknown; loading a corpus of this name is an error.
    data = DataConfig(corpus="unknown", level=vocabulary.level)
    return Run(Config(data=data, model=config), vocabulary, model, params, START)
