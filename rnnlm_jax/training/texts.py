"""The texts of an experiment: a corpus, encoded, and the batches that training reads."""

from dataclasses import dataclass

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
    load_corpus,
    require_in_vocabulary,
)


@dataclass(frozen=True)
class Texts:
    """Three encoded texts and the vocabulary that encodes them."""

    corpus: Corpus
    vocabulary: Vocabulary
    train: EncodedText
    valid: EncodedText
    test: EncodedText


def load_texts(config: DataConfig) -> Texts:
    """Load a corpus, build its vocabulary from the training text (or load the one given), and encode all splits.

    Raises:
        UserError: if a text is missing, empty, not UTF-8, or has nothing in the vocabulary.
    """
    corpus = load_corpus(config.corpus, data_dir=config.data_dir)
    if config.vocabulary is not None:
        vocabulary = Vocabulary.load(config.vocabulary)
    else:
        level = corpus.level if config.level == "auto" else config.level
        vocabulary = build_vocabulary(
            corpus.lines("train"), level, min_count=config.min_count, max_size=config.max_vocabulary
        )
    return encode_texts(corpus, vocabulary)


def encode_texts(corpus: Corpus, vocabulary: Vocabulary) -> Texts:
    """Encode all splits of a corpus with a vocabulary at hand."""

    def encode(split: str) -> EncodedText:
        text = vocabulary.encode(corpus.lines(split))
        return require_in_vocabulary(text, vocabulary, f"the {split} text of {corpus.name}")

    return Texts(corpus, vocabulary, encode("train"), encode("valid"), encode("test"))


def make_batches(config: DataConfig, texts: Texts, seed: int, columns: np.ndarray | None = None) -> Batches:
    """The batches of the training text, or some ``columns`` of each."""
    start = texts.vocabulary.start_id
    if config.batching == "sentences":
        return SentenceBatches(texts.train, config.batch_size, seed=seed, first_input=start, columns=columns)
    return StreamBatches(texts.train.tokens, config.batch_size, config.window, start, columns)
