"""The text that a command reads, encoded with a model's vocabulary."""

from collections.abc import Iterable

from rnnlm_jax.data import CORPORA, EncodedText, Vocabulary, load_corpus, read_text, require_in_vocabulary


def encode_text(name: str, vocabulary: Vocabulary, data_dir: str | None = None) -> EncodedText:
    """Return the text of a file, of files by a pattern, or of a corpus split, encoded with ``vocabulary``.

    Args:
        name: path of a file, pattern such as ``news-*.txt``, or ``CORPUS:SPLIT`` such as ``ptb:test``.
        vocabulary: the vocabulary of the model.
        data_dir: the folder that contains the corpora.

    Raises:
        DataError: if the text is missing, empty or not UTF-8, or has no token of the vocabulary.
    """
    return require_in_vocabulary(vocabulary.encode(text_lines(name, data_dir)), vocabulary, name)


def text_lines(name: str, data_dir: str | None = None) -> Iterable[str]:
    """Return the lines of a text; arguments as of ``encode_text``.

    Raises:
        DataError: if the text is missing or empty, or, while it is read, not UTF-8.
    """
    corpus, colon, split = name.rpartition(":")
    if colon and (corpus in CORPORA or corpus.startswith("tfds:")):
        return load_corpus(corpus, data_dir=data_dir).lines(split)
    return read_text(name)
