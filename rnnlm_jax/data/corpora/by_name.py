"""Corpora by name."""

from __future__ import annotations

from pathlib import Path

from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.errors import DataError

#: Description of each name that `load_corpus` accepts besides files, directories and patterns.
CORPORA = {
    "pydoc": "help topics of this Python's language reference, no download",
    "grammar": "generated sentences of a probabilistic grammar with known entropy",
    "ptb": "Penn Treebank, preprocessed by Mikolov, from your copy of the text",
    "wikitext-2": "WikiText-2, word level, from your copy of the text",
    "tfds:NAME": "a text data set of TensorFlow Datasets, e.g. tfds:tiny_shakespeare",
}


def is_path(name: str) -> bool:
    """Return whether the name of a corpus is a file, a directory or a pattern of file names."""
    return name not in CORPORA and not name.startswith("tfds:")


def load_corpus(name: str, *, data_dir: str | Path | None = None, seed: int = 0) -> Corpus:
    """Return a corpus by name or path.

    Args:
        name: one of `CORPORA`, or a file, directory or pattern of file names, see `path_corpus`.
        data_dir: folder with the text of `ptb`, `wikitext-2` and `tfds:` corpora; default: the environment variable
            `RNNLM_JAX_DATA`.
        seed: seed of the generated corpus; ignored by the others.

    Raises:
        DataError: the name is unknown, or the text is missing, empty, not UTF-8, or has a wrong checksum.
    """
    # Kinds are imported on use: TFDS alone takes a second.
    if name == "pydoc":
        from rnnlm_jax.data.corpora.pydoc_topics import pydoc_corpus

        return pydoc_corpus()
    if name == "grammar":
        from rnnlm_jax.data.corpora.grammar_corpus import grammar_corpus

        return grammar_corpus(seed=seed)
    if name in ("ptb", "wikitext-2"):
        from rnnlm_jax.data.corpora.tfds_builders import benchmark_corpus

        return benchmark_corpus(name, data_dir)
    if name.startswith("tfds:"):
        from rnnlm_jax.data.corpora.tfds_text import tfds_corpus

        return tfds_corpus(name.removeprefix("tfds:"), data_dir)
    from rnnlm_jax.data.corpora.text_files import is_pattern, path_corpus

    if not Path(name).exists() and not is_pattern(name):
        known = ", ".join(CORPORA)
        raise DataError(f"cannot find the corpus or file {name!r}: give one of {known}, or the path of a text")
    return path_corpus(name)
