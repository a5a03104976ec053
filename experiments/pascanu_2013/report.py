"""The tables and the record of the study, from the results of its trainings."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments import readme_table
from experiments.pascanu_2013.figures import draw_error_by_length, draw_gradient_norms, draw_success
from experiments.pascanu_2013.networks import BEST, GATED, INITIALISATIONS, OPEN, PRESENT_DAY
from experiments.pascanu_2013.plan import (
    ADAM,
    FIGURE,
    ORDER,
    OTHER_TASKS,
    PUBLISHED_METHODS,
    RANGE,
    REGULARIZED,
    TODAY,
)
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import save

Result = dict[str, Any]
Table = tuple[list[str], list[list[str]]]


def record(results: Sequence[Result], study: Path) -> None:
    """Write ``results.json``, the figures, and the tables of the README of a study."""
    write_json(study / "results.json", {"results": list(results)})
    parts = []
    for title, (head, rows) in tables(results).items():
        parts.append(f"**{title}**\n\n{readme_table.markdown(head, rows)}")
    for name, (words, draw) in FIGURES.items():
        figure = draw(results)
        if figure is not None:
            save(figure, study / name)
            parts.append(f"![{words}]({name})\n")
    readme_table.write_table(study / "README.md", "\n".join(parts))


#: Files of figures, their descriptions, and the functions that draw them.
FIGURES: dict[str, tuple[str, Callable[[Sequence[Result]], Any]]] = {
    "success-by-length.png": ("share of seeds that solve temporal order, by length, of three methods", draw_success),
    "gradient-norms.png": ("gradient norms through training, of three methods at each length", draw_gradient_norms),
    "error-by-length.png": ("error at lengths up to 5000 of models trained on 50 to 200", draw_error_by_length),
}


def tables(results: Sequence[Result]) -> dict[str, Table]:
    """Return the tables that have rows, by title."""
    made = {
        "Temporal order: seeds that solve it (thousands of sequences until then, median)": methods_table(results),
        "One model for lengths 50 to 200: error in per cent at a length, mean of seeds (best)": range_table(results),
        "The other tasks": tasks_table(results),
        "Networks of today, Adam with clipping": today_table(results),
    }
    return {title: table for title, table in made.items() if table[1]}


def methods_table(results: Sequence[Result]) -> Table:
    """Return the paper's comparison: a row for each initialisation and method, a column for each length."""
    return by_length(
        [r for r in results if r["group"] == FIGURE],
        ["initial weights", "method"],
        [(network, method) for network in INITIALISATIONS for method in PUBLISHED_METHODS],
        lambda result: (result["network"], result["method"]),
    )


def tasks_table(results: Sequence[Result]) -> Table:
    """Return the other tasks, a row for each network that is trained on one."""
    networks = [(BEST, REGULARIZED), (GATED, ADAM), (OPEN, ADAM)]
    return by_length(
        [result for result in results if result["task"] != ORDER],
        ["task", "network"],
        [(task, f"{network}, {method}") for task in OTHER_TASKS for network, method in networks],
        lambda result: (result["task"], f"{result['network']}, {result['method']}"),
    )


def today_table(results: Sequence[Result]) -> Table:
    """Return the networks of today on temporal order at single lengths, a row for each."""
    of_today = [result for result in results if result["group"] == TODAY and result["task"] == ORDER]
    found = [result for result in of_today if not result["long_tests"]]
    head = ["network", "parameters"]
    sizes = {result["network"]: f"{result['parameters']:,}" for result in found}
    rows = [(network, sizes[network]) for network in PRESENT_DAY if network in sizes]
    return by_length(found, head, rows, lambda result: (result["network"], sizes[result["network"]]))


def by_length(
    results: Sequence[Result],
    head: Sequence[str],
    keys: Iterable[tuple[str, ...]],
    key: Callable[[Result], tuple[str, ...]],
) -> Table:
    """Return a table of solved seeds with a column for each length; rows without results are left out."""
    lengths = sorted({result["length"] for result in results})
    cells = {(key(result), result["length"]): solved_words(result) for result in results}
    rows = [[*words, *(cells.get((words, length), "") for length in lengths)] for words in keys]
    kept = [row for row in rows if any(row[len(head) :])]
    return [*head, *(f"L = {length}" for length in lengths)], kept


def range_table(results: Sequence[Result]) -> Table:
    """Return the models for a range of lengths, a row for each, a column for each length of the tests."""
    found = sorted(ranges(results), key=lambda result: result["group"] != RANGE)
    lengths = sorted({int(length) for result in found for length in result["long_tests"]})
    rows = [
        [
            f"{result['network']}, {result['method']}",
            solved_words(result),
            *(error_words(result["long_tests"].get(str(length))) for length in lengths),
        ]
        for result in found
    ]
    return ["network", "solved", *(f"{length:,}" for length in lengths)], rows


def ranges(results: Sequence[Result]) -> list[Result]:
    """Return the results of models for a range of lengths."""
    return [result for result in results if result["long_tests"]]


def solved_words(result: Result) -> str:
    """Return how many seeds solve a task, and the median of the sequences until then in thousands."""
    words = f"{sum(result['solved'])} of {len(result['solved'])}"
    median = result["median_sequences_until_solved"]
    return words if median is None else f"{words} ({median / 1000:,.0f})"


def error_words(errors: Sequence[float] | None) -> str:
    """Return the mean error of all seeds in per cent, and the smallest in brackets."""
    return "" if not errors else f"{100 * sum(errors) / len(errors):.2f} ({100 * min(errors):.2f})"
