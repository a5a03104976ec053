"""Text to arrays: vocabularies, corpora and batches. Only NumPy and the standard library are imported here."""

from rnnlm_jax.data.batching import Batch, Batches, BatchSequence, SentenceBatches, StreamBatches
from rnnlm_jax.data.corpora import (
    CORPORA,
    Corpus,
    is_path,
    is_pattern,
    lines_of_file,
    load_corpus,
    path_corpus,
    read_lines,
    read_text,
)
from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.subword_building import read_tokenizer
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.data.vocabulary_building import build_vocabulary
from rnnlm_jax.data.vocabulary_coverage import require_in_vocabulary
from rnnlm_jax.data.vocabulary_files import read_vocabulary_file
from rnnlm_jax.data.white_space import split_words, strip_space

__all__ = [
    "CORPORA",
    "Batch",
    "BatchSequence",
    "Batches",
    "Corpus",
    "EncodedText",
    "SentenceBatches",
    "StreamBatches",
    "Vocabulary",
    "build_vocabulary",
    "is_path",
    "is_pattern",
    "lines_of_file",
    "load_corpus",
    "path_corpus",
    "read_lines",
    "read_text",
    "read_tokenizer",
    "read_vocabulary_file",
    "require_in_vocabulary",
    "split_words",
    "strip_space",
]
