"""The study's tables, its figure of the ladder, and its record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.readme_table import markdown, plain, write_table
from experiments.records.plan import LADDER, RECORDS
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import BLUE, VERMILION, new_figure, paper_style, save

RECORD_HEAD = (
    *("model", "parameters", "epochs", "hours", "valid", "test", "published test"),
    *("test, tempered", "dynamic", "cache", "with KN5"),
)
LADDER_HEAD = ("model", "parameters", "valid", "test", "test, tempered")


def rows(found: Sequence[dict[str, Any]], group: str) -> list[list[str]]:
    """Return the rows of a group's table."""
    return [record_row(each) if group == RECORDS else ladder_row(each) for each in found if each["group"] == group]


def record_row(found: dict[str, Any]) -> list[str]:
    """Return the row of a published recipe."""
    published = found["published"].get("test")
    return [
        f"{found['name']}: {found['title']}",
        f"{found['parameters']:,}",
        str(found["epochs"]),
        f"{found['hours']:.1f}",
        f"{found['valid_perplexity']:.2f}",
        f"**{found['test_perplexity']:.2f}**",
        "" if published is None else f"{published:g}",
        f"{found['tempered']['test']:.2f}",
        f"{found['dynamic']['test']:.2f}",
        f"{found['cache']['test']:.2f}",
        f"{found['with_ngrams']['test']:.2f}",
    ]


def ladder_row(found: dict[str, Any]) -> list[str]:
    """Return the row of a step of the ladder."""
    return [
        found["title"],
        f"{found['parameters']:,}",
        f"{found['valid_perplexity']:.2f}",
        f"{found['test_perplexity']:.2f}",
        f"{found['tempered']['test']:.2f}",
    ]


def tables(found: Sequence[dict[str, Any]], render: Any) -> list[tuple[str, str]]:
    """Return the tables that have rows, each with its title."""
    heads = {RECORDS: ("Published recipes", RECORD_HEAD), LADDER: ("Where the points come from", LADDER_HEAD)}
    made = [(title, head, rows(found, group)) for group, (title, head) in heads.items()]
    return [(title, render(head, lines)) for title, head, lines in made if lines]


def plain_text(found: Sequence[dict[str, Any]]) -> str:
    """Return the tables for the terminal."""
    return "\n\n".join(f"{title}\n{table}" for title, table in tables(found, plain)).replace("**", "")


@paper_style()
def ladder_figure(found: Sequence[dict[str, Any]]) -> Figure:
    """Draw test perplexity along the ladder, static and with a fitted temperature."""
    steps = [each for each in found if each["group"] == LADDER]
    figure = new_figure(height=0.8 + 0.35 * len(steps))
    axes, names = figure.subplots(), [each["title"] for each in steps]
    axes.plot([each["test_perplexity"] for each in steps], names, "o-", color=BLUE, label="static")
    tempered = [each["tempered"]["test"] for each in steps]
    axes.plot(tempered, names, "s--", color=VERMILION, label="temperature fitted on validation text")
    axes.invert_yaxis()
    axes.set_xlabel("test perplexity")
    axes.legend()
    return figure


def record(found: Sequence[dict[str, Any]], study: Path) -> None:
    """Write ``results.json``, the figure and the tables of the README."""
    write_json(study / "results.json", {"models": list(found)})
    text = "\n".join(f"**{title}**\n\n{table}" for title, table in tables(found, markdown))
    if any(each["group"] == LADDER for each in found):
        save(ladder_figure(found), study / "ladder.png")
        text += "\n![test perplexity along the ladder](ladder.png)\n"
    write_table(study / "README.md", text)
