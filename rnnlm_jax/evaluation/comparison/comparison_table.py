"""Models side by side: for a terminal, as Markdown, as JSON."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.evaluation.comparison.mixture import MixtureWeights
from rnnlm_jax.evaluation.perplexity import perplexity

HEAD = ("model", "kind", "perplexity", "parameters", "trained in", "training tok/s", "scoring tok/s", "horizon")
#: How many columns are words; the rest are numbers, and stand to the right.
WORDS = 2


@dataclass(frozen=True)
class Row:
    """A model's figures; None, or nothing, where they are not known."""

    name: str
    kind: str
    nats: float
    tokens: int
    parameters: int
    training_seconds: float | None
    training_tokens_per_second: float | None
    scoring_tokens_per_second: float
    horizon: str = ""

    @property
    def perplexity(self) -> float:
        """``exp(nats / tokens)``."""
        return perplexity(self.nats, self.tokens)

    def cells(self) -> tuple[str, ...]:
        """What stands in the columns of ``HEAD``."""
        rate = self.training_tokens_per_second
        return (
            self.name,
            self.kind,
            f"{self.perplexity:.2f}",
            f"{self.parameters:,}",
            "" if self.training_seconds is None else duration(self.training_seconds),
            "" if rate is None else f"{rate:,.0f}",
            f"{self.scoring_tokens_per_second:,.0f}",
            self.horizon,
        )

    def summary(self) -> dict[str, Any]:
        """The figures by name."""
        return dataclasses.asdict(self) | {"perplexity": self.perplexity, "horizon": self.horizon or None}


@dataclass(frozen=True, eq=False)
class FittedMixture:
    """How the weights of a mixture came about."""

    name: str
    components: tuple[str, ...]
    fitted: MixtureWeights
    text: str
    """That they were fitted on."""

    def __str__(self) -> str:
        """One line for people."""
        weights = ", ".join(
            f"{weight:.4f} {name}" for weight, name in zip(self.fitted.weights, self.components, strict=True)
        )
        trust = f"no weights are better there by {max(self.fitted.gap, 1e-12):.0e} nats a token"
        if not self.fitted.converged:
            trust = f"NOT CONVERGED after {self.fitted.steps:,} steps: up to {self.fitted.gap:.1e} nats a token to gain"
        reached = perplexity(self.fitted.nats_per_token, 1)
        return f"{self.name}: {weights}; fitted on {self.text}, perplexity {reached:.2f} there; {trust}"

    def summary(self) -> dict[str, Any]:
        """All of it by name."""
        return {
            "name": self.name,
            "weights": dict(zip(self.components, self.fitted.weights.tolist(), strict=True)),
            "tuned_on": self.text,
            "tuning_perplexity": perplexity(self.fitted.nats_per_token, 1),
            "gap": self.fitted.gap,
            "steps": self.fitted.steps,
            "converged": self.fitted.converged,
        }


@dataclass(frozen=True, eq=False)
class Table:
    """Models on one text."""

    data: str
    tokens: int
    oov: int
    policy: str
    rows: tuple[Row, ...]
    """The best first."""
    mixtures: tuple[FittedMixture, ...] = ()

    @property
    def caption(self) -> str:
        """What all of them were measured on, in one line."""
        return f"{self.data}: {self.tokens:,} tokens scored, {self.oov:,} OOV; {self.policy}"

    def text(self) -> str:
        """Lines for a terminal."""
        shown = terminal_table([HEAD, *(row.cells() for row in self.rows)], WORDS)
        return "\n".join([self.caption, "", *shown, *_notes(self.mixtures, "")]) + "\n"

    def markdown(self) -> str:
        """The same as Markdown."""
        shown = markdown_table([HEAD, *(row.cells() for row in self.rows)], WORDS)
        return "\n".join([escaped(self.caption), "", *shown, *_notes(self.mixtures, "- ")]) + "\n"

    def summary(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "data": self.data,
            "tokens": self.tokens,
            "oov": self.oov,
            "policy": self.policy,
            "rows": [row.summary() for row in self.rows],
            "mixtures": [each.summary() for each in self.mixtures],
        }


def duration(seconds: float) -> str:
    """Seconds as people say them: ``41 s``, ``12.3 min``, ``5.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def best_first(rows: Sequence[Row]) -> tuple[Row, ...]:
    """By perplexity; what is no number comes last."""
    return tuple(sorted(rows, key=lambda row: (math.isnan(row.nats), row.nats)))


def terminal_table(lines: Sequence[Sequence[str]], words: int) -> list[str]:
    """The lines of a table for a terminal; the first line is its head, and so many first columns are words."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(_aligned(line, widths, words)).rstrip() for line in lines]


def markdown_table(lines: Sequence[Sequence[str]], words: int) -> list[str]:
    """The same lines as Markdown."""
    head, *rows = lines
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return [f"| {' | '.join(line)} |" for line in (head, rule, *(map(escaped, row) for row in rows))]


def _aligned(line: Sequence[str], widths: Sequence[int], words: int) -> list[str]:
    left = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
    right = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
    return left[:words] + right[words:]


def _notes(mixtures: Sequence[FittedMixture], mark: str) -> list[str]:
    lines = [f"{mark}{escaped(str(each)) if mark else each}" for each in mixtures]
    return ["", *lines] if lines else []


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: names hold bars and underscores, tokens angle brackets."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>|" else letter for letter in text)
