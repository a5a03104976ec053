"""The text that a command reads, encoded with the vocabulary of a run."""

from collections.abc import Iterable

from rnnlm_jax.data import CORPORA, EncodedText, Vocabulary, load_corpus, read_text, require_in_vocabulary


def encode_text(name: str, vocabulary: Vocabulary, data_dir: str | None = None) -> EncodedText:
    """A text: a file, files by a pattern (``news-*.txt``), or a split of a corpus (``ptb:test``, ``tfds:lm1b:test``).

    Raises:
        UserError: if the text is missing, empty, not UTF-8, or has nothing in the vocabulary.
    """
    return require_in_vocabulary(vocabulary.encode(text_lines(name, data_dir)), vocabulary, name)


def text_lines(name: str, data_dir: str | None = None) -> Iterable[str]:
    """The lines of a text file, of the files of a pattern, or of a split of a corpus as ``CORPUS:SPLIT``.

    Raises:
        UserError: if the text is missing or empty, or, on reaching it, not UTF-8.
    """
    corpus, colon, split = name.rpartition(":")
    if colon and (corpus in CORPORA or corpus.startswith("tfds:")):
        return load_corpus(corpus, data_dir=data_dir).lines(split)
    return read_text(name)
