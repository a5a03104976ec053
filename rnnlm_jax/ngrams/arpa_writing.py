"""Writing an n-gram model as an ARPA file: base-10 logarithms, for KenLM, SRILM and others."""

import gzip
import math
from pathlib import Path
from typing import TextIO

import numpy as np

from rnnlm_jax.data import Progress, Vocabulary, no_progress, split_words
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.ngrams.backoff_model import NgramModel
from rnnlm_jax.system.atomic_write import written_whole

#: Tokens of the format for the beginning and end of a sentence and for unknown words.
BOS, EOS, UNK = "<s>", "</s>", "<unk>"

#: Logarithm of 0 in the format.
LOG10_ZERO = -99.0

#: Number of n-grams formatted at a time; larger lists cost time in the garbage collector.
CHUNK = 2**12


def write_arpa(model: NgramModel, path: str | Path, progress: Progress = no_progress) -> None:
    """Write an ARPA file atomically, compressed if its name ends in ``.gz``.

    The end-of-line token is written as ``</s>``, the unknown token as ``<unk>``. Words are in the order of their ids,
    so that reading the file gives the same vocabulary. The format requires ``</s>``: if the vocabulary has no
    end-of-line token, it is written with probability 0. Numbers have nine digits.

    Args:
        model: the model.
        path: the file; parent folders are created.
        progress: called with the number of n-grams written since the last call.

    Raises:
        ArgumentError: a token cannot be written: it has white space, or the name of another token of the format.
    """
    names = arpa_names(model.vocabulary)
    with written_whole(path) as temporary:
        opened = gzip.open if str(path).endswith(".gz") else open
        with opened(temporary, "wt", encoding="utf-8", newline="\n") as file:
            _write(model, np.array([*names, BOS], object), file, progress)


def _write(model: NgramModel, names: np.ndarray, file: TextIO, progress: Progress) -> None:
    without_eos = model.vocabulary.eos is None
    file.write("\\data\\\n")
    for k, level in enumerate(model.levels, 1):
        file.write(f"ngram {k}={level.keys.size + (k == 1 and without_eos)}\n")
    for k, level in enumerate(model.levels, 1):
        file.write(f"\n\\{k}-grams:\n")
        if k == 1 and without_eos:
            file.write(f"{LOG10_ZERO:g}\t{EOS}\n")
        log10 = np.maximum(level.log_prob / math.log(10.0), LOG10_ZERO)
        backoff = np.maximum(level.log_backoff / math.log(10.0), LOG10_ZERO)
        for start in range(0, level.keys.size, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, level.keys.size))
            words = map(" ".join, names[model.words(k, numbers)].tolist())
            rows = zip(log10[numbers].tolist(), words, backoff[numbers].tolist(), strict=True)
            # A missing backoff weight means 1, and most n-grams are not contexts.
            file.writelines(f"{p:.9g}\t{ngram}\t{b:.9g}\n" if b else f"{p:.9g}\t{ngram}\n" for p, ngram, b in rows)
            progress(numbers.size)
    file.write("\n\\end\\\n")


def arpa_names(vocabulary: Vocabulary) -> list[str]:
    """Return the name of each token in an ARPA file, by id.

    Raises:
        ArgumentError: a token has white space or is empty, or two tokens would have the same name.
    """
    roles = {vocabulary.eos: EOS, vocabulary.unk: UNK}
    names = [roles.get(token, token) for token in vocabulary.tokens]
    taken = {BOS} if vocabulary.eos is not None else {BOS, EOS}
    for token, name in zip(vocabulary.tokens, names, strict=True):
        if split_words(name) != [name]:
            raise ArgumentError(f"an ARPA file cannot hold the token {token!r}: tokens must not have white space")
        if name in taken:
            raise ArgumentError(f"an ARPA file cannot hold the token {token!r}: {name} is a special token there")
        taken.add(name)
    return names


def ngram_total(model: NgramModel) -> int:
    """Return the number of n-grams that ``write_arpa`` writes, including ``<s>``: the total of its ``progress``."""
    return sum(level.keys.size for level in model.levels)
