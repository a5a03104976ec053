"""The table, the record and the figure of the study, from its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import readme_table
from experiments.hochreiter_1997.conditions import EXPERIMENTS, PRESENT_DAY, PUBLISHED
from experiments.hochreiter_1997.networks import ELMAN, LSTM
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import BLUE, GREY, VERMILION, legend_below, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = dict[str, Any]

HEAD = (
    *("experiment", "published", "wrong of 2560"),
    *("published recipe: solved", "sequences", "wrong of 2560"),
    *("present-day recipe: solved", "sequences", "wrong of 2560", "wrong of 10,000"),
)
COLOURS = {PUBLISHED: VERMILION, PRESENT_DAY: BLUE}


def record(results: Sequence[Result], study: Path) -> None:
    """Write ``results.json``, the figure, and the tables of the README of a study."""
    write_json(study / "results.json", {"results": list(results)})
    save(draw(results), study / "sequences.png")
    parts = [
        readme_table.markdown(HEAD, rows(results)),
        *(f"{title}:\n\n{readme_table.markdown(*table)}" for title, table in further_tables(results).items()),
        "![sequences until solved and share of solved trials, by experiment](sequences.png)\n",
    ]
    readme_table.write_table(study / "README.md", "\n".join(parts))


def rows(results: Sequence[Result]) -> list[list[str]]:
    """Return the rows of the table of LSTMs, in the order of the paper."""
    by_name = {(result["name"], result["method"]): result for result in results if result["network"] == LSTM}
    table = []
    for experiment in EXPERIMENTS:
        published, ours = experiment.published, [by_name.get((experiment.name, method)) for method in COLOURS]
        if any(ours):
            wrong = "" if published.wrong is None else f"{published.wrong:g}"
            cells = [solved_words(ours[0]), sequences_words(ours[0]), wrong_words(ours[0], "short_test")]
            cells += [solved_words(ours[1]), sequences_words(ours[1]), wrong_words(ours[1], "short_test")]
            cells += [wrong_words(ours[1], "test")]
            table.append([experiment.title, f"{published.sequences:,}", wrong, *cells])
    return table


def further_tables(results: Sequence[Result]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Return the tables of networks with simple units, and of what is learnt of the embedded Reber grammar."""
    titles = {experiment.name: experiment.title for experiment in EXPERIMENTS}
    tables = {}
    elman = [
        [
            titles[result["name"]],
            result["method"],
            solved_words(result),
            f"{result['most']:,}",
            wrong_words(result, "test"),
        ]
        for result in results
        if result["network"] == ELMAN
    ]
    if elman:
        tables["Networks with simple units"] = (
            ["experiment", "recipe", "solved", "sequences at most", "wrong of 10,000"],
            elman,
        )
    reber = [
        [
            f"{result['network']}, {result['method']}",
            solved_words(result),
            *(wrong_words(result, name) for name in REBER_TESTS),
        ]
        for result in results
        if result["name"] == "1"
    ]
    if reber:
        tables["The embedded Reber grammar"] = (["network, recipe", "solved", *REBER_TESTS.values()], reber)
    return tables


REBER_TESTS = {
    "test": "held-out strings",
    "training_strings": "strings of training",
    "new_strings": "new strings",
    "new_strings_grammar": "of these, grammar",
    "new_strings_second_symbol": "second symbol",
}


def solved_words(result: Result | None) -> str:
    """Return how many trials solved the task."""
    return "" if result is None else f"{sum(result['solved'])} of {len(result['solved'])}"


def sequences_words(result: Result | None) -> str:
    """Return the mean of the sequences until solved, and the least and the most in brackets."""
    if result is None:
        return ""
    counts = [count for count in result["sequences_until_solved"] if count is not None]
    if not counts:
        return f"over {result['most']:,}"
    return f"{np.mean(counts):,.0f} ({min(counts):,}–{max(counts):,})"


def wrong_words(result: Result | None, test: str) -> str:
    """Return the wrong answers of a test, the mean over the trials that solved the task, else over all."""
    if result is None or test not in result["tests"]:
        return ""
    wrong = [count for count, solved in zip(result["tests"][test]["wrong"], result["solved"], strict=True) if solved]
    return f"{np.mean(wrong or result['tests'][test]['wrong']):,.1f}"


@paper_style()
def draw(results: Sequence[Result]) -> "Figure":
    """Return sequences until solved by experiment, a dot for each trial, above the share of solved trials."""
    from matplotlib.lines import Line2D

    found = [result for result in results if result["network"] == LSTM]
    experiments = [each for each in EXPERIMENTS if any(result["name"] == each.name for result in found)]
    place = {experiment.name: k for k, experiment in enumerate(experiments)}
    figure = new_figure(height=4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for experiment in experiments:
        at = place[experiment.name]
        upper.plot([at - 0.38, at + 0.38], [experiment.published.sequences] * 2, color="black", lw=1.4)
    for result in found:
        _draw_trials(upper, lower, result, place[result["name"]])
    upper.set_yscale("log")
    upper.set_ylabel("sequences until solved")
    lower.set_ylabel("solved")
    lower.set_ylim(0, 1.05)
    lower.set_xticks(range(len(experiments)), [experiment.name for experiment in experiments], rotation=60)
    lower.set_xlabel("experiment")
    lines = [Line2D([], [], color="black", lw=1.4, label="published")]
    lines += [
        Line2D([], [], color=colour, marker="o", ms=3, lw=0, label=f"{method} recipe")
        for method, colour in COLOURS.items()
    ]
    legend_below(figure, [*lines, Line2D([], [], color=GREY, marker="x", ms=4, lw=0, label="not solved by then")])
    return figure


def _draw_trials(upper: "Axes", lower: "Axes", result: Result, place: int) -> None:
    """Draw the trials of one result."""
    colour, shift = COLOURS[result["method"]], -0.2 if result["method"] == PUBLISHED else 0.2
    counts = [count for count in result["sequences_until_solved"] if count is not None]
    spread = place + shift + np.linspace(-0.12, 0.12, len(counts)) if len(counts) > 1 else [place + shift] * len(counts)
    upper.plot(spread, sorted(counts), "o", color=colour, ms=2, alpha=0.8)
    if not all(result["solved"]):
        upper.plot([place + shift], [result["most"]], "x", color=colour, ms=4)
    lower.bar([place + shift], [result["success"]], width=0.36, color=colour)
