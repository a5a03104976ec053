"""A run made of the weights of PyTorch's ``word_language_model`` example and a list of its words."""

import json
from pathlib import Path

import numpy as np

from rnnlm_jax.config import Config, DataConfig
from rnnlm_jax.data import Vocabulary, lines_of, split_words, strip_space
from rnnlm_jax.errors import UserError
from rnnlm_jax.input_files import reopened
from rnnlm_jax.interop import torch_language_model
from rnnlm_jax.runs import START, Run, build_model

#: What the unknown token and the end of a line may be called in a list of words.
UNKNOWN, ENDS = "<unk>", ("<eos>", "</s>")


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


def read_vocabulary(path: str | Path) -> Vocabulary:
    """A vocabulary file of ours, or a text file with one word a line in the order of their numbers.

    In a text ``<unk>`` stands for unknown words, and ``<eos>`` or ``</s>`` for the end of a line, where they are there.

    Raises:
        UserError: if there is no such file, it is damaged, or a line of it is no word or one that was before.
    """
    open_again = reopened(path, "vocabulary file")
    with open_again() as file:
        content = file.read()
    if Path(path).suffix == ".json" or _is_json_object(content):
        return Vocabulary.from_json(content, str(path))
    words: dict[str, int] = {}
    for number, line in enumerate(lines_of(open_again(), path), 1):
        word = strip_space(line)
        if split_words(line) != [word]:
            raise UserError(f"line {number} of {path} is no word: give one word a line, or a vocabulary.json")
        if word in words:
            raise UserError(f"line {number} of {path} repeats {word!r} of line {words[word]}: give each word once")
        words[word] = number
    eos = next((end for end in ENDS if end in words), None)
    return Vocabulary("word", tuple(words), UNKNOWN if UNKNOWN in words else None, eos)


def _is_json_object(content: bytes) -> bool:
    """Whether a file's content is a JSON object; a list of words may begin with a brace too."""
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False
