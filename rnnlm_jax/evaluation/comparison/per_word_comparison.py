"""Compare models that split one text differently, by its nats per word and per character."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.comparison.comparison_table import escaped, markdown_table, terminal_table
from rnnlm_jax.evaluation.comparison.scorer import Scorer
from rnnlm_jax.evaluation.comparison.timed_scoring import timed_scores
from rnnlm_jax.evaluation.perplexity import Evaluation, evaluation_from_nll
from rnnlm_jax.system.progress import MakeProgressBar

HEADER = ("model", "kind", "tokens are", "ppl a word", "bits a character", "ppl a token", "tokens", "OOV", "parameters")
#: Number of leading columns of text.
TEXT_COLUMNS = 3
#: Mark on the perplexity of a model that scored another text than the others.
MARK = "*"


@dataclass(frozen=True)
class PerWordRow:
    """Figures of one model."""

    name: str
    kind: str
    level: str
    """Kind of token: "word", "char" …"""
    types: int
    parameters: int
    evaluation: Evaluation

    def cells(self) -> tuple[str, ...]:
        """Return the text of each column of ``HEADER``."""
        evaluation = self.evaluation
        mark = "" if evaluation.open_vocabulary else MARK
        return (
            self.name,
            self.kind,
            f"{self.types:,} {self.level}s",
            f"{evaluation.word_perplexity:.2f}{mark}",
            f"{evaluation.bits_per_character:.4f}{mark}",
            f"{evaluation.perplexity:.2f}",
            f"{evaluation.tokens:,}",
            f"{evaluation.oov:,}",
            f"{self.parameters:,}",
        )

    def summary(self) -> dict[str, Any]:
        """Return the figures by name."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "evaluation"]
        return {name: getattr(self, name) for name in names} | self.evaluation.summary()


@dataclass(frozen=True, eq=False)
class PerWordTable:
    """Models on one text, each with its own tokens.

    All nats belong to the same characters, so models have the same order by word and by character. Rows of models that
    did not read all characters (``Evaluation.open_vocabulary`` is false) are marked and come last.
    """

    data: str
    """Name of the text."""
    words: int
    characters: int
    rows: tuple[PerWordRow, ...]
    """The best model first."""

    @property
    def caption(self) -> str:
        """The text and its counts, in one line."""
        return f"{self.data}: {self.words:,} words, {self.characters:,} characters, ends of lines among both"

    def notes(self) -> list[str]:
        """Return remarks on rows that are not comparable, one per line."""
        notes, levels = [], {row.level for row in self.rows}
        if not all(row.evaluation.open_vocabulary for row in self.rows):
            notes.append(
                f"{MARK} of another text, in which some words are unknown or some lines do not come back from their "
                "tokens: not to be compared with the others"
            )
        if "word" in levels and len(levels) > 1:
            notes.append("words come without their white space, which the other models predict too")
        return notes

    def text(self) -> str:
        """Return the table for a terminal."""
        table = terminal_table([HEADER, *(row.cells() for row in self.rows)], TEXT_COLUMNS)
        notes = self.notes()
        return "\n".join([self.caption, "", *table, *([""] if notes else []), *notes]) + "\n"

    def markdown(self) -> str:
        """Return the table in Markdown."""
        table = markdown_table([HEADER, *(row.cells() for row in self.rows)], TEXT_COLUMNS)
        notes = [f"- {escaped(note)}" for note in self.notes()]
        return "\n".join([escaped(self.caption), "", *table, *([""] if notes else []), *notes]) + "\n"

    def summary(self) -> dict[str, Any]:
        """Return all figures by name."""
        return {
            "data": self.data,
            "words": self.words,
            "characters": self.characters,
            "rows": [row.summary() for row in self.rows],
            "notes": self.notes(),
        }


def compare_per_word(
    scorers: Sequence[Scorer], data: str, texts: Sequence[EncodedText], *, make_bar: MakeProgressBar
) -> PerWordTable:
    """Score one text by models that may split it differently.

    Args:
        scorers: models.
        data: name of the text.
        texts: text in the tokens of each model.
        make_bar: makes progress bars.

    Raises:
        DataError: if the texts are not the same, because some models do not predict ends of lines, or have no words.
    """
    counts = [(text.words, text.characters) for text in texts]
    words, characters = counts[0]
    for scorer, (other_words, other_characters) in zip(scorers, counts, strict=True):
        if (other_words, other_characters) != (words, characters):
            raise DataError(
                f"{scorers[0].name} predicts {characters:,} characters of {data} and {scorer.name} "
                f"{other_characters:,}: one of them does not predict ends of lines; train it with an end of line"
            )
    if not words:
        raise DataError(f"{data} has no words to divide by: give a text that has")
    rows = []
    for scorer, text in zip(scorers, texts, strict=True):
        scores = timed_scores(scorer, text, f"{scorer.name} on {data}", make_bar)
        evaluation = evaluation_from_nll(scores.nll, text, scorer.policy, seconds=scores.seconds)
        vocabulary = scorer.vocabulary
        rows.append(
            PerWordRow(
                scorer.name,
                scorer.info.kind,
                vocabulary.level,
                vocabulary.size,
                parameters=scorer.parameter_count,
                evaluation=evaluation,
            )
        )
    rows.sort(key=lambda row: (not row.evaluation.open_vocabulary, math.isnan(row.evaluation.nll), row.evaluation.nll))
    return PerWordTable(data, words, characters, tuple(rows))
