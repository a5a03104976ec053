"""Accuracies of several models on the same minimal pairs side by side, for a terminal and by name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rnnlm_jax.evaluation.comparison.comparison_table import terminal_table
from rnnlm_jax.evaluation.minimal_pairs.accuracy import Accuracy
from rnnlm_jax.evaluation.minimal_pairs.pair import WORD
from rnnlm_jax.evaluation.minimal_pairs.pair_report import PairReport

HEADER = ("model", "kind", "accuracy", "95 % interval", "pairs", "ties", "unknown words", "accuracy without")


def pair_table(reports: Sequence[PairReport]) -> str:
    """Return the accuracies of models on the same pairs: a row for each model, then a row for each group.

    Args:
        reports: one or more, of the same data.
    """
    first = reports[0]
    blocks = [[_caption(first)], terminal_table([HEADER, *map(_row, reports)], 2)]
    for title, parts in (("group", [r.groups for r in reports]), ("category", [r.categories for r in reports])):
        if len(parts[0]) > 1:
            blocks.append(_grouped(title, [report.model for report in reports], parts))
    blocks.append(_remarks(reports))
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def pair_summary(reports: Sequence[PairReport]) -> dict[str, Any]:
    """Return the figures of all models by name; those of a single model are at the top as well.

    Args:
        reports: one or more, of the same data.
    """
    found: dict[str, Any] = {
        "data": reports[0].data,
        "unit": reports[0].unit,
        "context": reports[0].context,
        "pairs": reports[0].all.pairs,
        "models": [report.summary() for report in reports],
    }
    return found | (reports[0].summary() if len(reports) == 1 else {})


def _caption(report: PairReport) -> str:
    """Return what was compared, in one line."""
    if report.unit != WORD:
        how = "whole sentences, each from the initial state to its end"
    elif report.context is None:
        how = "one word after the same words"
    else:
        how = f"one word after the last {report.context} words only"
    left = f"; {report.left_out:,} pairs without a comparison at one word are left out" if report.left_out else ""
    return f"{report.data}: {report.all.pairs:,} pairs, {how}; chance is 50 %{left}"


def _row(report: PairReport) -> tuple[str, ...]:
    return (
        report.model,
        report.kind,
        percent(report.all),
        interval(report.all),
        f"{report.all.pairs:,}",
        f"{report.all.ties:,}",
        f"{100 * report.unknown_share:.1f} %",
        percent(report.known),
    )


def _grouped(title: str, models: Sequence[str], parts: Sequence[Mapping[str, Accuracy]]) -> list[str]:
    """Return a table with a row for each group, and accuracy and interval of each model."""
    header = (title, "pairs", *(word for model in models for word in (model, "")))
    rows = [
        (
            group,
            f"{parts[0][group].pairs:,}",
            *(word for part in parts for word in (percent(part[group]), interval(part[group]))),
        )
        for group in parts[0]
    ]
    return terminal_table([header, *rows], 1)


def _remarks(reports: Sequence[PairReport]) -> list[str]:
    """Return a line for each model on its vocabulary, and on pairs that an unknown word decides."""
    lines = []
    for report in reports:
        undecided = report.all.pairs - report.known_compared.pairs
        remark = f"; {undecided:,} pairs differ in an unknown word" if undecided else ""
        lines.append(f"{report.model}: {report.policy}{remark}; {report.seconds:.1f} s")
    return lines


def percent(accuracy: Accuracy) -> str:
    """Return an accuracy in per cent; "" without pairs."""
    return "" if math.isnan(accuracy.value) else f"{100 * accuracy.value:.1f} %"


def interval(accuracy: Accuracy) -> str:
    """Return the confidence interval in per cent; "" without pairs."""
    low, high = accuracy.interval
    return "" if math.isnan(low) else f"{100 * low:.1f}–{100 * high:.1f}"
