"""Table of models on one text, for a terminal, as Markdown and as JSON."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.evaluation.comparison.mixture import MixtureWeights
from rnnlm_jax.evaluation.perplexity import perplexity

HEADER = ("model", "kind", "perplexity", "parameters", "trained in", "training tok/s", "scoring tok/s", "horizon")
#: Number of leading columns of text, aligned to the left; the others are numbers, aligned to the right.
TEXT_COLUMNS = 2


@dataclass(frozen=True)
class ComparisonRow:
    """Figures of one model; None or "" where unknown."""

    name: str
    kind: str
    nll: float
    """Summed over all tokens, in nats."""
    tokens: int
    parameters: int
    training_seconds: float | None
    training_tokens_per_second: float | None
    scoring_tokens_per_second: float
    horizon: str = ""

    @property
    def perplexity(self) -> float:
        """``exp(nll / tokens)``."""
        return perplexity(self.nll, self.tokens)

    def cells(self) -> tuple[str, ...]:
        """Return the text of each column of ``HEADER``."""
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
        """Return the figures by name."""
        figures = {"nats" if name == "nll" else name: value for name, value in dataclasses.asdict(self).items()}
        return figures | {"perplexity": self.perplexity, "horizon": self.horizon or None}


@dataclass(frozen=True, eq=False)
class FittedMixture:
    """Mixture of models and how its weights were fitted."""

    name: str
    components: tuple[str, ...]
    fitted: MixtureWeights
    tuning_text: str
    """Name of the text that the weights were fitted on."""

    def __str__(self) -> str:
        """Return the weights and the result of the fit in one line."""
        weights = ", ".join(
            f"{weight:.4f} {name}" for weight, name in zip(self.fitted.weights, self.components, strict=True)
        )
        optimality = f"no weights are better there by {max(self.fitted.gap, 1e-12):.0e} nats a token"
        if not self.fitted.converged:
            optimality = (
                f"NOT CONVERGED after {self.fitted.steps:,} steps: up to {self.fitted.gap:.1e} nats a token to gain"
            )
        reached = perplexity(self.fitted.nll_per_token, 1)
        return f"{self.name}: {weights}; fitted on {self.tuning_text}, perplexity {reached:.2f} there; {optimality}"

    def summary(self) -> dict[str, Any]:
        """Return weights and result by name."""
        return {
            "name": self.name,
            "weights": dict(zip(self.components, self.fitted.weights.tolist(), strict=True)),
            "tuned_on": self.tuning_text,
            "tuning_perplexity": perplexity(self.fitted.nll_per_token, 1),
            "gap": self.fitted.gap,
            "steps": self.fitted.steps,
            "converged": self.fitted.converged,
        }


@dataclass(frozen=True, eq=False)
class ComparisonTable:
    """Models on one text, in the order of their perplexities."""

    data: str
    """Name of the text."""
    tokens: int
    oov: int
    policy: str
    rows: tuple[ComparisonRow, ...]
    """The best model first."""
    mixtures: tuple[FittedMixture, ...] = ()

    @property
    def caption(self) -> str:
        """The text and the token policy, in one line."""
        return f"{self.data}: {self.tokens:,} tokens scored, {self.oov:,} OOV; {self.policy}"

    def text(self) -> str:
        """Return the table for a terminal."""
        table = terminal_table([HEADER, *(row.cells() for row in self.rows)], TEXT_COLUMNS)
        return "\n".join([self.caption, "", *table, *_mixture_lines(self.mixtures, "")]) + "\n"

    def markdown(self) -> str:
        """Return the table in Markdown."""
        table = markdown_table([HEADER, *(row.cells() for row in self.rows)], TEXT_COLUMNS)
        return "\n".join([escaped(self.caption), "", *table, *_mixture_lines(self.mixtures, "- ")]) + "\n"

    def summary(self) -> dict[str, Any]:
        """Return all figures by name."""
        return {
            "data": self.data,
            "tokens": self.tokens,
            "oov": self.oov,
            "policy": self.policy,
            "rows": [row.summary() for row in self.rows],
            "mixtures": [each.summary() for each in self.mixtures],
        }


def duration(seconds: float) -> str:
    """Format a time: ``41 s``, ``12.3 min``, ``5.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def best_first(rows: Sequence[ComparisonRow]) -> tuple[ComparisonRow, ...]:
    """Sort rows by summed nats; NaN comes last."""
    return tuple(sorted(rows, key=lambda row: (math.isnan(row.nll), row.nll)))


def terminal_table(lines: Sequence[Sequence[str]], text_columns: int) -> list[str]:
    """Return the lines of an aligned table; the first line is the header, the first ``text_columns`` hold text."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(_aligned(line, widths, text_columns)).rstrip() for line in lines]


def markdown_table(lines: Sequence[Sequence[str]], text_columns: int) -> list[str]:
    """Return the lines of the same table in Markdown."""
    header, *rows = lines
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return [f"| {' | '.join(line)} |" for line in (header, rule, *(map(escaped, row) for row in rows))]


def _aligned(line: Sequence[str], widths: Sequence[int], text_columns: int) -> list[str]:
    left = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
    right = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
    return left[:text_columns] + right[text_columns:]


def _mixture_lines(mixtures: Sequence[FittedMixture], bullet: str) -> list[str]:
    """Return a line for each mixture after an empty line; with a bullet, escaped for Markdown."""
    lines = [f"{bullet}{escaped(str(each)) if bullet else each}" for each in mixtures]
    return ["", *lines] if lines else []


def escaped(text: str) -> str:
    """Escape text for Markdown: names contain bars and underscores, tokens angle brackets."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>|" else letter for letter in text)
