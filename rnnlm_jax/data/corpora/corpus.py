"""A corpus: named splits of lines, whatever they are read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rnnlm_jax.errors import UserError

CORPORA = {
    "pydoc": "the language reference that comes with this Python, no download",
    "grammar": "sentences of a probabilistic grammar whose entropy is known, generated",
    "ptb": "Penn Treebank, Mikolov's preprocessing, from your copy of the text",
    "wikitext-2": "WikiText-2, word level, from your copy of the text",
    "tfds:NAME": "a text data set of TensorFlow Datasets, e.g. tfds:tiny_shakespeare",
}
"""The names that `load_corpus` knows, and what they are; a path to a file or directory is a corpus too."""


@dataclass(frozen=True)
class Corpus:
    """Splits of text, each read anew from its start whenever it is asked for.

    Attributes:
        name: what the corpus is called in reports.
        level: the level it is meant for, `"word"` or `"char"`; a suggestion, any level can be built from lines.
        splits: `"train"`, `"valid"`, `"test"` -> a function that returns a fresh iterator of lines without newline.
        facts: numbers known about the corpus, e.g. the entropy rate of a generated language in nats per token.
    """

    name: str
    level: str
    splits: Mapping[str, Callable[[], Iterable[str]]]
    facts: Mapping[str, float] = field(default_factory=dict)

    def lines(self, split: str) -> Iterable[str]:
        """Return the lines of a split, without their newlines.

        Raises:
            UserError: the corpus has no such split.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise UserError(f"the corpus {self.name} has no split {split!r}: choose one of {known}")
        return self.splits[split]()


def load_corpus(name: str, *, data_dir: str | Path | None = None, seed: int = 0) -> Corpus:
    """Return a corpus by name or path.

    Args:
        name: one of `CORPORA`, or the path of a text file or of a directory of train, valid and test files.
        data_dir: where the text of `ptb`, `wikitext-2` and `tfds:` corpora lies; default: the environment variable
            `RNNLM_JAX_DATA`.
        seed: of the generated corpus; the others ignore it.

    Raises:
        UserError: an unknown name, or text that is missing, empty, not UTF-8 or not the one its checksum names.
    """
    # each kind is imported when it is asked for: TFDS alone takes a second
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
    from rnnlm_jax.data.corpora.text_files import path_corpus

    if not Path(name).exists():
        known = ", ".join(CORPORA)
        raise UserError(f"there is no corpus or file {name!r}: give one of {known}, or the path of a text")
    return path_corpus(name)
