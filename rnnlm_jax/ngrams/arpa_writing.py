"""Writing an n-gram model as an ARPA file: base-10 logarithms, for KenLM, SRILM and others."""

import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np

from rnnlm_jax.data import Vocabulary, split_words
from rnnlm_jax.errors import UserError
from rnnlm_jax.ngrams.backoff_model import NgramModel
from rnnlm_jax.system.atomic_write import atomic_write

#: What the format calls the start and the end of a sentence, and unknown words.
START, END, UNKNOWN = "<s>", "</s>", "<unk>"

#: What the format has for a logarithm of 0.
LOG10_ZERO = -99.0

#: N-grams formatted at a time: few, since lists in their tens of thousands keep the garbage collector busy.
CHUNK = 2**12


def write_arpa(model: NgramModel, path: str | Path, progress: Callable[[int], object] = lambda ngrams: None) -> None:
    """Write an ARPA file, the whole of it or nothing; compressed if its name ends in ``.gz``.

    The end-of-line token is written as ``</s>``, the unknown token as ``<unk>``. Words stand in the order of their
    ids, so that reading the file gives the same vocabulary. A file must have ``</s>``: a vocabulary without an
    end-of-line token gets one of probability 0. Nine digits are kept.

    Args:
        model: the model.
        path: the file; folders above it are made.
        progress: told the number of n-grams written since its last call.

    Raises:
        UserError: if a token cannot be told apart in such a file: white space in it, or a name that means another.
    """
    names = arpa_names(model.vocabulary)
    with atomic_write(path) as temporary:
        opened = gzip.open if str(path).endswith(".gz") else open
        with opened(temporary, "wt", encoding="utf-8", newline="\n") as file:
            _write(model, np.array([*names, START], object), file, progress)


def _write(model: NgramModel, names: np.ndarray, file: TextIO, progress: Callable[[int], object]) -> None:
    no_end = model.vocabulary.eos is None
    file.write("\\data\\\n")
    for k, level in enumerate(model.levels, 1):
        file.write(f"ngram {k}={level.keys.size + (k == 1 and no_end)}\n")
    for k, level in enumerate(model.levels, 1):
        file.write(f"\n\\{k}-grams:\n")
        if k == 1 and no_end:
            file.write(f"{LOG10_ZERO:g}\t{END}\n")
        log10 = np.maximum(level.log_prob / math.log(10.0), LOG10_ZERO)
        backoff = np.maximum(level.log_backoff / math.log(10.0), LOG10_ZERO)
        for start in range(0, level.keys.size, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, level.keys.size))
            words = map(" ".join, names[model.words(k, numbers)].tolist())
            rows = zip(log10[numbers].tolist(), words, backoff[numbers].tolist(), strict=True)
            # No backoff weight means 1, and most n-grams are no context.
            file.writelines(f"{p:.9g}\t{ngram}\t{b:.9g}\n" if b else f"{p:.9g}\t{ngram}\n" for p, ngram, b in rows)
            progress(numbers.size)
    file.write("\n\\end\\\n")


def arpa_names(vocabulary: Vocabulary) -> list[str]:
    """What each token is called in an ARPA file, by id.

    Raises:
        UserError: if a token has white space or is empty, or two would be called alike.
    """
    roles = {vocabulary.eos: END, vocabulary.unk: UNKNOWN}
    names = [roles.get(token, token) for token in vocabulary.tokens]
    taken = {START} if vocabulary.eos is not None else {START, END}
    for token, name in zip(vocabulary.tokens, names, strict=True):
        if split_words(name) != [name]:
            raise UserError(f"an ARPA file cannot hold the token {token!r}: it needs tokens without white space")
        if name in taken:
            raise UserError(f"an ARPA file cannot hold the token {token!r}: {name} has a meaning of its own there")
        taken.add(name)
    return names


def ngram_total(model: NgramModel) -> int:
    """The number of lines that ``progress`` will be told of."""
    return sum(level.keys.size for level in model.levels)
