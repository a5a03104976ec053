"""The words that a training step is compiled for: a run's own, a text's, or only so many of them."""

import functools
from pathlib import Path

import numpy as np

from rnnlm_jax.config import DataConfig
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.run_folder import RunFolder, read_begun, read_vocabulary, read_words
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.training.texts import load_texts, vocabulary_at_hand


@functools.cache
def zipf_words(size: int) -> Words:
    """Words numbered by rank, the k-th of which is seen 1/k times as often as the first (Zipf 1935)."""
    return _by_zipf([f"w{k}" for k in range(size)])


def words_of(config: DataConfig, size: int | None = None, run: Path | None = None) -> Words:
    """The words of a configuration's vocabulary with their counts, which Zipf's law gives where there is no text.

    Args:
        config: of the data.
        size: V, in place of any vocabulary.
        run: the folder of a run, for its own.

    Raises:
        UserError: if the vocabulary cannot be known without a text that would have to be downloaded first.
    """
    if size is not None:
        if size < 1:
            raise UserError(f"--vocabulary-size must be a positive number, not {size}")
        return zipf_words(size)
    if run is not None:
        folder = RunFolder(run)
        _, identity = read_begun(folder)
        vocabulary = read_vocabulary(folder, identity)
        words = read_words(folder, identity, vocabulary)
        if words is None and identity.counts is not None:
            raise UserError(
                f"{folder.counts} is missing: restore it from a copy, or write it again with rnnlm-jax train --run "
                f"{run} --resume"
            )
        return words or _by_zipf(vocabulary.tokens)
    known = vocabulary_at_hand(config)
    if known is not None:
        return _by_zipf(known.tokens)
    if config.corpus.startswith("tfds:"):
        known = " (793471 for tfds:lm1b)" if config.corpus.startswith("tfds:lm1b") else ""
        raise UserError(f"how many words {config.corpus} has is not known without it: add --vocabulary-size N{known}")
    return load_texts(config).words()


def _by_zipf(tokens: "list[str] | tuple[str, ...]") -> Words:
    return Words(tokens, np.maximum(10**8 // np.arange(1, len(tokens) + 1), 1))
