"""Where text comes from: one file a kind of corpus, all behind `load_corpus`."""

from rnnlm_jax.data.corpora.by_name import CORPORA, is_path, load_corpus
from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.text_files import is_pattern, path_corpus, read_text
from rnnlm_jax.data.corpora.text_reading import lines_of_file, read_lines

__all__ = [
    "CORPORA",
    "Corpus",
    "is_path",
    "is_pattern",
    "lines_of_file",
    "load_corpus",
    "path_corpus",
    "read_lines",
    "read_text",
]
