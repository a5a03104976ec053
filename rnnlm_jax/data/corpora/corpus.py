"""A corpus: named splits of lines, whatever they are read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.errors import DataError


@dataclass(frozen=True)
class Corpus:
    """Splits of text, each read anew from its start whenever it is asked for.

    Attributes:
        name: what the corpus is called in reports.
        level: the level it is meant for, `"word"` or `"char"`; a suggestion, any level can be built from lines.
        splits: `"train"`, `"valid"`, `"test"` -> a function that returns a fresh iterator of lines without newline.
        facts: numbers known about the corpus, e.g. the entropy rate of a generated language in nats per token.
        records: split -> the same lines at random access, for corpora that are TFDS data sets.
    """

    name: str
    level: str
    splits: Mapping[str, Callable[[], Iterable[str]]]
    facts: Mapping[str, float] = field(default_factory=dict)
    records: Mapping[str, TextRecords] = field(default_factory=dict)

    def lines(self, split: str) -> Iterable[str]:
        """Return the lines of a split, without their newlines.

        Raises:
            DataError: the corpus has no such split.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(f"the corpus {self.name} has no split {split!r}: choose one of {known}")
        return self.splits[split]()
