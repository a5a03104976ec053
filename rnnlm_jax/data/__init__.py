"""Vocabularies, corpora and batches; importing it imports NumPy and the standard library only."""

from rnnlm_jax.data.batching import Batch, Batches, BatchSequence, SentenceBatches, StreamBatches
from rnnlm_jax.data.corpora.by_name import CORPORA, is_path, load_corpus
from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.text_files import is_pattern, read_text
from rnnlm_jax.data.corpora.text_reading import read_lines
from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.subword_building import read_tokenizer
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.data.vocabulary_building import build_vocabulary
from rnnlm_jax.data.vocabulary_coverage import require_in_vocabulary
from rnnlm_jax.data.vocabulary_files import read_vocabulary_file
from rnnlm_jax.data.white_space import split_words, strip_space
from rnnlm_jax.data.windows import RandomBptt
from rnnlm_jax.system.progress import Progress, no_progress

__all__ = [
    "CORPORA",
    "Batch",
    "BatchSequence",
    "Batches",
    "Corpus",
    "EncodedText",
    "Progress",
    "RandomBptt",
    "SentenceBatches",
    "StreamBatches",
    "Vocabulary",
    "build_vocabulary",
    "is_path",
    "is_pattern",
    "load_corpus",
    "no_progress",
    "read_lines",
    "read_text",
    "read_tokenizer",
    "read_vocabulary_file",
    "require_in_vocabulary",
    "split_words",
    "strip_space",
]
