"""The vocabulary that a training step is compiled for: a run's, a file's, a text's, or only its size."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnlm_jax.config import DataConfig
from rnnlm_jax.errors import CheckpointError, ConfigError
from rnnlm_jax.jobs.run_folder import RunFolder, read_config_and_identity, read_vocabulary, read_words
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.texts import given_vocabulary, load_texts


@functools.cache
def zipf_words(size: int) -> WordCounts:
    """Return words numbered by rank, the k-th with 1/k of the count of the first (Zipf 1935)."""
    return _by_zipf([f"w{k}" for k in range(size)])


def vocabulary_words(config: DataConfig, size: int | None = None, run: Path | None = None) -> WordCounts:
    """Return the words of a configuration's vocabulary with their counts, by Zipf's law if the text was not read.

    Args:
        config: the data configuration.
        size: the vocabulary size V, in place of a vocabulary.
        run: the folder of a run, to use its vocabulary.

    Raises:
        ConfigError: if the vocabulary is unknown without a text that would have to be downloaded.
        CheckpointError: if the run's vocabulary or counts are missing.
    """
    if size is not None:
        if size < 1:
            raise ConfigError(f"`vocabulary_size` must be a positive number, not {size}")
        return zipf_words(size)
    if run is not None:
        folder = RunFolder(run)
        _, identity = read_config_and_identity(folder)
        vocabulary = read_vocabulary(folder, identity)
        words = read_words(folder, identity, vocabulary)
        if words is None and identity.counts is not None:
            raise CheckpointError(
                f"{folder.counts} is missing: restore it from a copy, or write it again with rnnlm-jax train --run "
                f"{run} --resume"
            )
        return words or _by_zipf(vocabulary.tokens)
    known = given_vocabulary(config)
    if known is not None:
        return _by_zipf(known.tokens)
    if config.corpus.startswith("tfds:"):
        known = " (793471 for tfds:lm1b)" if config.corpus.startswith("tfds:lm1b") else ""
        raise ConfigError(
            f"the vocabulary size of {config.corpus} is unknown without its text: add `vocabulary_size` N{known}"
        )
    return load_texts(config).words()


def _by_zipf(tokens: Sequence[str]) -> WordCounts:
    return WordCounts(tokens, np.maximum(10**8 // np.arange(1, len(tokens) + 1), 1))
