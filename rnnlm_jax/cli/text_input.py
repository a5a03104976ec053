"""The text that a command reads, encoded with the vocabulary of a run."""

from rnnlm_jax.data import CORPORA, EncodedText, Vocabulary, load_corpus, read_lines, require_in_vocabulary


def encode_text(name: str, vocabulary: Vocabulary, data_dir: str | None = None) -> EncodedText:
    """A text file, or a split of a corpus as ``CORPUS:SPLIT`` (``ptb:test``, ``tfds:lm1b:test``).

    Raises:
        UserError: if the text is missing, empty, not UTF-8, or has nothing in the vocabulary.
    """
    corpus, colon, split = name.rpartition(":")
    if colon and (corpus in CORPORA or corpus.startswith("tfds:")):
        lines = load_corpus(corpus, data_dir=data_dir).lines(split)
    else:
        lines = read_lines(name)
    return require_in_vocabulary(vocabulary.encode(lines), vocabulary, name)
