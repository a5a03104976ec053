"""A corpus: named splits of lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.errors import DataError


class LineSource(Protocol):
    """Start to read the lines of a split; may be called any number of times."""

    def __call__(self) -> Iterable[str]:
        """Return an iterator of all lines, without their newlines."""
        ...


@dataclass(frozen=True)
class Corpus:
    """Splits of text, each of which can be read any number of times.

    Attributes:
        name: name of the corpus in reports.
        level: suggested level, `"word"` or `"char"`; a vocabulary of any level can be built.
        splits: source of the lines of each split, `"train"`, `"valid"` and `"test"`.
        facts: known quantities of the corpus, e.g. the entropy rate of a generated language in nats per token.
        records: the same lines with random access, by split, for corpora that are TFDS data sets.
    """

    name: str
    level: str
    splits: Mapping[str, LineSource]
    facts: Mapping[str, float] = field(default_factory=dict)
    records: Mapping[str, TextRecords] = field(default_factory=dict)

    def lines(self, split: str) -> Iterable[str]:
        """Return the lines of a split, without their newlines.

        Raises:
            DataError: the corpus does not have the split.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(f"the corpus {self.name} has no split {split!r}: choose one of {known}")
        return self.splits[split]()
