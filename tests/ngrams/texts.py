"""Small vocabularies and random texts for the tests of n-gram models."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from rnnlm_jax.data import EncodedText, Vocabulary, build_vocabulary, read_lines


def vocabulary(size=6, eos=True):
    """Words a, b, c …, after the unknown token and, where lines end, the end-of-line token."""
    special = ["<unk>", "<eos>"][: 1 + eos]
    words = tuple([*special, *"abcdefghijklmnopqrstuvw"][:size])
    return Vocabulary("word", words, "<unk>", "<eos>" if eos else None)


def encoded(tokens, eos_id=1):
    """A text of these ids."""
    tokens = np.array(tokens, np.int32)
    ends = np.flatnonzero(tokens == eos_id) + 1
    return EncodedText(tokens, ends, 0, int(tokens.size))


def zipf_text(vocab, lines, seed=0, repeated=0.7):
    """Lines of random words, many of which follow from the word before, so that n-grams of every count occur."""
    rng = np.random.default_rng(seed)
    size = vocab.size
    first = 2 if vocab.eos is not None else 1
    weights = 1.0 / np.arange(1, size - first + 1)
    weights /= weights.sum()
    tokens = []
    for _ in range(lines):
        word = int(rng.choice(size - first, p=weights)) + first
        for _ in range(int(rng.integers(0, 9))):
            tokens.append(word)
            if rng.random() < repeated:
                word = (word * 7 + 3) % (size - first) + first
            else:
                word = int(rng.choice(size - first, p=weights)) + first
        if vocab.eos is not None:
            tokens.append(1)
    return encoded(tokens, 1 if vocab.eos is not None else -1)


@functools.cache
def penn_treebank():
    """Vocabulary, training and test text of Penn Treebank, where they are."""
    folder = os.environ.get("RNNLM_JAX_DATA")
    if not folder:
        pytest.skip("needs real text: set RNNLM_JAX_DATA to its folder")
    files = [Path(folder) / "ptb" / f"ptb.{split}.txt" for split in ("train", "test")]
    words = build_vocabulary(read_lines(files[0]))
    return words, *(words.encode(read_lines(file)) for file in files)
