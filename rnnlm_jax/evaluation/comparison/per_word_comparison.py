"""Models that cut one text differently, side by side: its nats over its words and its characters."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.comparison_table import escaped, markdown_table, terminal_table
from rnnlm_jax.evaluation.comparison.scorer import Scorer
from rnnlm_jax.evaluation.comparison.timed_scoring import Bar, measure
from rnnlm_jax.evaluation.perplexity import Evaluation, evaluation_from_nll

HEAD = ("model", "kind", "tokens are", "ppl a word", "bits a character", "ppl a token", "tokens", "OOV", "parameters")
#: How many columns are words.
WORDS = 3
#: What stands behind the perplexity of a model of another text than the others'.
MARK = "*"


@dataclass(frozen=True)
class PerWordRow:
    """A model's figures of the text."""

    name: str
    kind: str
    level: str
    types: int
    parameters: int
    evaluation: Evaluation

    def cells(self) -> tuple[str, ...]:
        """What stands in the columns of ``HEAD``."""
        found = self.evaluation
        mark = "" if found.open_vocabulary else MARK
        return (
            self.name,
            self.kind,
            f"{self.types:,} {self.level}s",
            f"{found.word_perplexity:.2f}{mark}",
            f"{found.bits_per_character:.4f}{mark}",
            f"{found.perplexity:.2f}",
            f"{found.tokens:,}",
            f"{found.oov:,}",
            f"{self.parameters:,}",
        )

    def summary(self) -> dict[str, Any]:
        """The figures by name."""
        about = {part.name: getattr(self, part.name) for part in dataclasses.fields(self) if part.name != "evaluation"}
        return about | self.evaluation.summary()


@dataclass(frozen=True, eq=False)
class PerWordTable:
    """Models on one text, each with tokens of its own.

    All nats are of the same characters, so that their order is the same a word and a character; a row whose model did
    not read all of them (``Evaluation.open_vocabulary``) is marked, and stands below.
    """

    data: str
    words: int
    characters: int
    rows: tuple[PerWordRow, ...]
    """The best first."""

    @property
    def caption(self) -> str:
        """What is divided by, in one line."""
        return f"{self.data}: {self.words:,} words, {self.characters:,} characters, ends of lines among both"

    def notes(self) -> list[str]:
        """What the figures of some rows are not, a line each."""
        found, levels = [], {row.level for row in self.rows}
        if not all(row.evaluation.open_vocabulary for row in self.rows):
            found.append(
                f"{MARK} of another text, in which some words are unknown or some lines do not come back from their "
                "tokens: not to be compared with the others"
            )
        if "word" in levels and len(levels) > 1:
            found.append("words come without their white space, which the other models predict too")
        return found

    def text(self) -> str:
        """Lines for a terminal."""
        table = terminal_table([HEAD, *(row.cells() for row in self.rows)], WORDS)
        notes = self.notes()
        return "\n".join([self.caption, "", *table, *([""] if notes else []), *notes]) + "\n"

    def markdown(self) -> str:
        """The same as Markdown."""
        table = markdown_table([HEAD, *(row.cells() for row in self.rows)], WORDS)
        notes = [f"- {escaped(note)}" for note in self.notes()]
        return "\n".join([escaped(self.caption), "", *table, *([""] if notes else []), *notes]) + "\n"

    def summary(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "data": self.data,
            "words": self.words,
            "characters": self.characters,
            "rows": [row.summary() for row in self.rows],
            "notes": self.notes(),
        }


def compare_per_word(scorers: Sequence[Scorer], data: str, texts: Sequence[EncodedText], bar: Bar) -> PerWordTable:
    """Score one text by models that may cut it differently.

    Args:
        scorers: the models.
        data: what the text is called.
        texts: the text as each of them cuts it.
        bar: makes progress bars.

    Raises:
        UserError: if it is not the same text for all of them: some do not predict ends of lines, or it has no words.
    """
    counted = [(text.words, text.characters) for text in texts]
    for scorer, counts in zip(scorers, counted, strict=True):
        if counts != counted[0]:
            raise UserError(
                f"{scorers[0].name} predicts {counted[0][1]:,} characters of {data} and {scorer.name} {counts[1]:,}: "
                "one of them does not predict ends of lines; train it with an end of line"
            )
    if not counted[0][0]:
        raise UserError(f"{data} has no words to divide by: give a text that has")
    rows = []
    for scorer, text in zip(scorers, texts, strict=True):
        measured = measure(scorer, text, f"{scorer.name} on {data}", bar)
        found = evaluation_from_nll(measured.nats, text, scorer.policy, measured.seconds)
        words, about = scorer.vocabulary, scorer.about
        rows.append(PerWordRow(scorer.name, about.kind, words.level, words.size, scorer.parameter_count, found))
    rows.sort(
        key=lambda row: (not row.evaluation.open_vocabulary, math.isnan(row.evaluation.nats), row.evaluation.nats)
    )
    return PerWordTable(data, *counted[0], tuple(rows))
