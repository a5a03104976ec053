"""The texts of an experiment, in memory or on disk, and the batches that training reads."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm_jax.config import DataConfig
from rnnlm_jax.data import (
    Batches,
    Corpus,
    EncodedText,
    RandomBptt,
    SentenceBatches,
    StreamBatches,
    Vocabulary,
    build_vocabulary,
    is_path,
    is_pattern,
    load_corpus,
    read_tokenizer,
    read_vocabulary_file,
    require_in_vocabulary,
)
from rnnlm_jax.data.records import RecordText, open_text
from rnnlm_jax.data.windows import EpochWindows
from rnnlm_jax.errors import ArgumentError, ConfigError, DataError
from rnnlm_jax.evaluation.perplexity import perplexity
from rnnlm_jax.ngrams import BigramBaseline, UnigramBaseline
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.system.progress import token_bar

#: Name of a split -> its name in messages.
SPLITS = {"train": "training", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Texts:
    """Training, validation and test text, encoded with a vocabulary; the training text may stay on disk."""

    corpus: Corpus
    vocabulary: Vocabulary
    train: EncodedText | RecordText
    valid: EncodedText
    test: EncodedText

    @property
    def digests(self) -> dict[str, str]:
        """Split -> digest of its text."""
        return {split: getattr(self, split).digest for split in SPLITS}

    @property
    def lossy_lines(self) -> int:
        """Number of lines in memory that cannot be restored from their tokens."""
        return sum(text.lossy_lines for text in (self.train, self.valid, self.test) if isinstance(text, EncodedText))

    def words(self) -> WordCounts:
        """Return the words of the vocabulary with their counts in the training text."""
        if isinstance(self.train, RecordText):
            return WordCounts(self.vocabulary.tokens, self.train.counts)
        return WordCounts.counted(self.vocabulary.tokens, self.train.tokens)

    def baselines(self) -> dict[str, float]:
        """Return the test perplexity of a unigram model and, if the training text is in memory, of a bigram model."""
        test, size = self.test.tokens, self.vocabulary.size
        if isinstance(self.train, RecordText):
            nats = {"unigram": UnigramBaseline.of_counts(self.train.counts).nats(test)}
        else:
            bigram = BigramBaseline(self.train.tokens, size)
            nats = {"unigram": bigram.unigram.nats(test), "bigram": bigram.nats(test, self.vocabulary.start_id)}
        return {name: perplexity(float(values.sum()), test.size) for name, values in nats.items()}


def load_texts(config: DataConfig, *, quiet: bool = True) -> Texts:
    """Load a corpus, build its vocabulary from the training text (or read the given one), and encode all splits.

    Args:
        config: the data configuration.
        quiet: whether to hide the progress bar of indexing, which training text on disk needs once.

    Raises:
        DataError: if a text is missing, empty, not UTF-8, or has no words of the vocabulary.
        ConfigError: if text on disk is asked for without a vocabulary or a TFDS data set.
    """
    given = given_vocabulary(config)
    if config.input_workers is not None and given is None:
        raise ConfigError(
            "`input_workers` needs a `vocabulary` file, since the text is not read before training: give the "
            "vocabulary.json of a run, or one that rnnlm_jax.data.build_vocabulary made and saved, or a `tokenizer`"
        )
    corpus = load_corpus(config.corpus, data_dir=config.data_dir)
    level = corpus.level if config.level == "auto" else config.level
    vocabulary = given or build_vocabulary(
        corpus.lines("train"), level, min_count=config.min_count, max_size=config.max_vocabulary
    )
    return encode_texts(corpus, vocabulary, config.input_workers, quiet=quiet)


def given_vocabulary(config: DataConfig) -> Vocabulary | None:
    """Return the vocabulary of the configuration's ``vocabulary`` or ``tokenizer`` file; None if it names neither.

    Raises:
        DataError: if the file is missing or damaged.
        ConfigError: if other options ask for another vocabulary.
    """
    if config.tokenizer is None:
        if config.vocabulary is None:
            return None
        vocabulary = read_vocabulary_file(config.vocabulary)
        if config.level not in ("auto", vocabulary.level):
            raise ConfigError(
                f"`vocabulary` {config.vocabulary} has tokens of level {vocabulary.level}, and `level` {config.level} "
                "asks for something else: choose one"
            )
        return vocabulary
    if config.vocabulary is not None:
        raise ConfigError("`tokenizer` and `vocabulary` both give a vocabulary: choose one")
    if config.level not in ("auto", "subword"):
        raise ConfigError(f"`tokenizer` gives subwords, and `level` {config.level} asks for something else: choose one")
    if (config.min_count, config.max_vocabulary) != (1, None):
        raise ConfigError("`min_count` and `max_vocabulary` make a vocabulary, `tokenizer` gives one: choose")
    return read_tokenizer(config.tokenizer)


def encode_texts(
    corpus: Corpus, vocabulary: Vocabulary, input_workers: int | None = None, *, quiet: bool = True
) -> Texts:
    """Encode all splits of a corpus; with ``input_workers``, open the training text on disk instead.

    Args:
        corpus: the corpus.
        vocabulary: the vocabulary.
        input_workers: number of processes that read training text from disk; None to encode it in memory.
        quiet: whether to hide the progress bar of indexing.

    Raises:
        UserError: as ``load_texts``.
    """

    def encode(split: str) -> EncodedText:
        text = vocabulary.encode(corpus.lines(split))
        return require_in_vocabulary(text, vocabulary, f"the {split} text of {corpus.name}")

    if input_workers is None:
        train = encode("train")
    else:
        with token_bar("indexing", None, disable=quiet) as bar:
            train = open_text(corpus, vocabulary, input_workers, progress=bar.update)
    return Texts(corpus, vocabulary, train, encode("valid"), encode("test"))


def corpus_of_run(data: DataConfig, remedy: str) -> Corpus:
    """Load the corpus that a run's configuration names.

    Args:
        data: the run's data configuration.
        remedy: what to do if the text was moved, for errors.

    Raises:
        DataError: if the text is missing.
    """
    if is_path(data.corpus) and not Path(data.corpus).exists() and not is_pattern(data.corpus):
        raise DataError(f"the text {data.corpus} of the run is not there: {remedy}")
    return load_corpus(data.corpus, data_dir=data.data_dir)


def require_same_texts(found: Mapping[str, str], begun: Mapping[str, str], *, name: str, remedy: str) -> None:
    """Check that texts are those that a run was begun with.

    Args:
        found: split -> digest of the text.
        begun: the same of the run; a missing split is unknown.
        name: the name of the corpus, for errors.
        remedy: what to do if the text is another, for errors.

    Raises:
        DataError: naming the first split whose text is another.
    """
    for split, digest in found.items():
        if begun.get(split, digest) != digest:
            raise DataError(f"the {SPLITS[split]} text of {name} is not the one that the run was begun with: {remedy}")


def absolute_paths(data: DataConfig) -> DataConfig:
    """Return the configuration with absolute paths, so that a run can be resumed from another folder."""
    changes = {}
    for spec in dataclasses.fields(data):
        value = getattr(data, spec.name)
        if spec.metadata["path"] and value is not None and (spec.name != "corpus" or is_path(value)):
            changes[spec.name] = os.path.abspath(value)
    return dataclasses.replace(data, **changes)


def make_batches(config: DataConfig, texts: Texts, seed: int, *, columns: np.ndarray | None = None) -> Batches:
    """Return the batches of the training text.

    Args:
        config: the data configuration.
        texts: the texts.
        seed: seed of the order of sentences, and of random lengths of windows.
        columns: indices of the columns of each batch to return; None for all.
    """
    start = texts.vocabulary.start_id
    windows: Any = {"first_input": start, "columns": columns, "random": random_bptt(config), "seed": seed}
    if isinstance(texts.train, RecordText):
        if config.batching == "sentences":
            return texts.train.sentences(config.batch_size, seed=seed, first_input=start, columns=columns)
        return texts.train.streams(config.batch_size, config.bptt, **windows)
    if config.batching == "sentences":
        return SentenceBatches(texts.train, config.batch_size, seed=seed, first_input=start, columns=columns)
    return StreamBatches(texts.train.tokens, config.batch_size, config.bptt, **windows)


def random_bptt(config: DataConfig) -> RandomBptt | None:
    """Return the distribution of the length of windows that `bptt_random` describes; None if it is fixed.

    Raises:
        ConfigError: if an option is unknown or out of range, or batches have no windows.
    """
    if not config.bptt_random:
        return None
    if config.batching != "stream":
        raise ConfigError("`bptt_random` cuts streams into windows, and `batching` sentences has none: choose one")
    given, known = dict(config.bptt_random), [spec.name for spec in dataclasses.fields(RandomBptt)]
    for name in given:
        if name not in known:
            raise ConfigError(f"`bptt_random` has no option {name!r}: it has {', '.join(known)}")
    try:
        random = RandomBptt(**given)
        EpochWindows(1, config.bptt, random)
    except ArgumentError as error:
        raise ConfigError(f"`bptt_random`: {error}") from error
    return random


def batch_lengths(config: DataConfig) -> tuple[int, ...]:
    """Return the numbers of steps T that batches of streams have, ascending; several if their length is random."""
    return EpochWindows(1, config.bptt, random_bptt(config)).padded_lengths
