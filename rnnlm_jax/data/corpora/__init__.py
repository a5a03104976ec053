"""Where text comes from: one file a kind of corpus, all behind `load_corpus`."""

from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.loading import CORPORA, is_path, load_corpus
from rnnlm_jax.data.corpora.text_files import lines_of, path_corpus, read_lines

__all__ = ["CORPORA", "Corpus", "is_path", "lines_of", "load_corpus", "path_corpus", "read_lines"]
