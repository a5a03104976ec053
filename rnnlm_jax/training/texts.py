"""The texts of an experiment: a corpus, encoded or to be read as it is wanted, and the batches that training reads."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm_jax.config import DataConfig
from rnnlm_jax.data import (
    Batches,
    Corpus,
    EncodedText,
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
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.perplexity import perplexity
from rnnlm_jax.ngrams import BigramBaseline, UnigramBaseline
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.system.progress import token_bar

#: The name of a split here and what it is called.
SPLITS = {"train": "training", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Texts:
    """Three texts and the vocabulary that encodes them; that of training may stay on disk."""

    corpus: Corpus
    vocabulary: Vocabulary
    train: EncodedText | RecordText
    valid: EncodedText
    test: EncodedText

    @property
    def digests(self) -> dict[str, str]:
        """Split -> its digest."""
        return {split: getattr(self, split).digest for split in SPLITS}

    @property
    def lossy_lines(self) -> int:
        """Lines in memory that their tokens do not give back."""
        return sum(text.lossy_lines for text in (self.train, self.valid, self.test) if isinstance(text, EncodedText))

    def words(self) -> Words:
        """The words of the vocabulary with their counts in the training text."""
        if isinstance(self.train, RecordText):
            return Words(self.vocabulary.tokens, self.train.counts)
        return Words.counted(self.vocabulary.tokens, self.train.tokens)

    def baselines(self) -> dict[str, float]:
        """Test perplexity of models that only count words, and pairs of words where the training text is in memory."""
        test, size = self.test.tokens, self.vocabulary.size
        if isinstance(self.train, RecordText):
            nats = {"unigram": UnigramBaseline.of_counts(self.train.counts).nats(test)}
        else:
            bigram = BigramBaseline(self.train.tokens, size)
            nats = {"unigram": bigram.unigram.nats(test), "bigram": bigram.nats(test, self.vocabulary.start_id)}
        return {name: perplexity(float(values.sum()), test.size) for name, values in nats.items()}


def load_texts(config: DataConfig, quiet: bool = True) -> Texts:
    """Load a corpus, build its vocabulary from the training text (or load the one given), and encode all splits.

    Training text that is to be read as it is wanted is indexed first, once; unless ``quiet``, a bar shows how far.

    Raises:
        UserError: if a text is missing, empty, not UTF-8, or has nothing in the vocabulary; if text is to stay on disk
            and there is no vocabulary, or no TFDS data set.
    """
    known = vocabulary_at_hand(config)
    if config.input_workers is not None and known is None:
        raise UserError(
            "--input-workers needs --vocabulary FILE, since the text is not read before training: give the "
            "vocabulary.json of a run, or one that rnnlm_jax.data.build_vocabulary made and saved, or --tokenizer FILE"
        )
    corpus = load_corpus(config.corpus, data_dir=config.data_dir)
    level = corpus.level if config.level == "auto" else config.level
    vocabulary = known or build_vocabulary(
        corpus.lines("train"), level, min_count=config.min_count, max_size=config.max_vocabulary
    )
    return encode_texts(corpus, vocabulary, config.input_workers, quiet)


def vocabulary_at_hand(config: DataConfig) -> Vocabulary | None:
    """The vocabulary of the file that is named, if one is.

    Raises:
        UserError: if it is missing or damaged, or comes with what would make another vocabulary.
    """
    if config.tokenizer is None:
        if config.vocabulary is None:
            return None
        vocabulary = read_vocabulary_file(config.vocabulary)
        if config.level not in ("auto", vocabulary.level):
            raise UserError(
                f"--vocabulary {config.vocabulary} has tokens of level {vocabulary.level}, and --level {config.level} "
                "asks for something else: choose one"
            )
        return vocabulary
    if config.vocabulary is not None:
        raise UserError("--tokenizer and --vocabulary both give a vocabulary: choose one")
    if config.level not in ("auto", "subword"):
        raise UserError(f"--tokenizer gives subwords, and --level {config.level} asks for something else: choose one")
    if (config.min_count, config.max_vocabulary) != (1, None):
        raise UserError("--min-count and --max-vocabulary make a vocabulary, --tokenizer gives one: choose")
    return read_tokenizer(config.tokenizer)


def encode_texts(corpus: Corpus, vocabulary: Vocabulary, input_workers: int | None = None, quiet: bool = True) -> Texts:
    """Encode all splits of a corpus with a vocabulary at hand; the training text is only opened for ``input_workers``.

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
    """The corpus that a run was begun with, wherever its configuration says that it lies.

    Args:
        data: the run's.
        remedy: what to give where the text lies elsewhere now, for errors.

    Raises:
        UserError: if it is not there.
    """
    if is_path(data.corpus) and not Path(data.corpus).exists() and not is_pattern(data.corpus):
        raise UserError(f"the text {data.corpus} of the run is not there: {remedy}")
    return load_corpus(data.corpus, data_dir=data.data_dir)


def require_same_texts(found: Mapping[str, str], begun: Mapping[str, str], name: str, remedy: str) -> None:
    """Check that texts are those that a run was begun with.

    Args:
        found: split -> the digest of the text.
        begun: those of the run; a split that is not among them is not known.
        name: of the corpus, for errors.
        remedy: what to do about another text, for errors.

    Raises:
        UserError: naming the first that is another.
    """
    for split, digest in found.items():
        if begun.get(split, digest) != digest:
            raise UserError(f"the {SPLITS[split]} text of {name} is not the one that the run was begun with: {remedy}")


def absolute_paths(data: DataConfig) -> DataConfig:
    """The configuration with its paths as they are from any folder: a run may be resumed from another."""
    changes = {}
    for spec in dataclasses.fields(data):
        value = getattr(data, spec.name)
        if spec.metadata["path"] and value is not None and (spec.name != "corpus" or is_path(value)):
            changes[spec.name] = os.path.abspath(value)
    return dataclasses.replace(data, **changes)


def make_batches(config: DataConfig, texts: Texts, seed: int, columns: np.ndarray | None = None) -> Batches:
    """The batches of the training text, or some ``columns`` of each."""
    start = texts.vocabulary.start_id
    if isinstance(texts.train, RecordText):
        if config.batching == "sentences":
            return texts.train.sentences(config.batch_size, seed=seed, first_input=start, columns=columns)
        return texts.train.streams(config.batch_size, config.bptt, first_input=start, columns=columns)
    if config.batching == "sentences":
        return SentenceBatches(texts.train, config.batch_size, seed=seed, first_input=start, columns=columns)
    return StreamBatches(texts.train.tokens, config.batch_size, config.bptt, first_input=start, columns=columns)
