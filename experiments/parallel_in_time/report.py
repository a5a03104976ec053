"""The tables and the record of the study, from the results of its parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import readme_table
from experiments.parallel_in_time.cost import Cost, newton_cost, scan_cost
from experiments.parallel_in_time.figures import draw_gains, draw_lengths, draw_text
from experiments.parallel_in_time.iterations import BLOCKS, DIAGONAL
from experiments.parallel_in_time.law import Point, at, exponent_of_growth, growth
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import save

Result = dict[str, Any]
Results = dict[str, list[Result]]
Table = tuple[list[str], list[list[str]]]
#: The most lengths that a table shows; the record has all.
COLUMNS = 4


def record(found: Results, study: Path) -> None:
    """Write ``results.json``, the figures, and the tables of the README of a study."""
    write_json(study / "results.json", found)
    if found["random"]:
        save(draw_gains(found["random"]), study / "gains.png")
        save(draw_lengths(found["random"]), study / "lengths.png")
    if found["text"]:
        save(draw_text(found["text"]), study / "text.png")
    readme_table.write_table(study / "README.md", tables(found))


def tables(found: Results) -> str:
    """Return the tables of the kinds that have results, each under its title."""
    makers = {
        "Random networks: iterations beside the largest exponent": ("random", random_table),
        "Random networks: growth with T": ("random", law_table),
        "Cells on text: iterations before and after training": ("text", text_table),
        "Work, depth and memory by formula": ("random", cost_table),
        "Memory of the compiled gradient": ("memory", memory_table),
        "Times": ("times", times_table),
    }
    parts = [
        f"### {title}\n\n{readme_table.markdown(*make(found[kind]))}"
        for title, (kind, make) in makers.items()
        if found[kind]
    ]
    return "\n".join(parts)


def random_table(results: Sequence[Result]) -> Table:
    """Return a row for each gain: the exponent, and iterations by length, of all numbers and of the diagonal."""
    lengths = shown(results[0]["recipe"]["lengths"])
    head = ["g", "λ₁", *(f"T = {steps:,}" for steps in lengths)]
    head += [f"diagonal, {steps:,}" for steps in lengths]
    rows = [
        [
            f"{result['gain']:g}",
            signed(result["exponent"]),
            *(iteration_words(result[jacobian], steps) for jacobian in (BLOCKS, DIAGONAL) for steps in lengths),
        ]
        for result in results
    ]
    return head, rows


def law_table(results: Sequence[Result]) -> Table:
    """Return a row for each gain: how iterations grow, and what is gained in depth for the longest T that converges."""
    head = ["g", "λ₁", "longest T solved", "iterations", "each × 10 of T", "p", "scan's depth / depth"]
    head += ["difference from scan", "diagonal: −λ₁ · iterations"]
    rows = []
    for result in results:
        solved = [point for point in result[BLOCKS] if point["converged"]]
        diagonal = [point for point in result[DIAGONAL] if point["converged"]]
        if not solved:
            continue
        last, line, power = solved[-1], growth(result[BLOCKS]), exponent_of_growth(result[BLOCKS])
        steps, n, k = last["steps"], result["recipe"]["units"], last["iterations"]
        depth = newton_cost(steps, n, iterations=k, m=n, chunk=steps).depth if k else 1
        rows.append(
            [
                f"{result['gain']:g}",
                signed(result["exponent"]),
                f"{steps:,}",
                f"{k:,}",
                signed(line.each, 1) if line else "",
                f"{power:.2f}" if power is not None else "",
                f"{steps / depth:,.3g}",
                f"{last['difference']:.0e}",
                f"{diagonal[-1]['iterations'] * -result['exponent']:.1f}" if is_contracting(result, diagonal) else "",
            ]
        )
    return head, rows


def is_contracting(result: Result, points: Sequence[Point]) -> bool:
    """Return whether the exponent is negative, and every length converges in fewer iterations than half its steps."""
    wanted = len(result["recipe"]["lengths"])
    return result["exponent"] < 0 and len(points) == wanted and 2 * points[-1]["iterations"] < points[-1]["steps"]


def text_table(results: Sequence[Result]) -> Table:
    """Return two rows for each cell, as initialised and trained."""
    lengths = shown(results[0]["recipe"]["text_lengths"])
    lengths = [steps for steps in lengths if any(at(r[w][BLOCKS], steps) for r in results for w in WHEN)]
    middle = next((r[w][DIAGONAL][0]["steps"] for r in results for w in WHEN if r[w][DIAGONAL]), 0)
    head = ["cell", "parameters", "n; block", "test perplexity", "λ₁", *(f"T = {steps:,}" for steps in lengths)]
    rows = []
    for result in results:
        for when in WHEN:
            measured = result[when]
            rows.append(
                [
                    result["cell"],
                    when,
                    f"{result['state_size']}; {result['block_size']}",
                    f"{result['test_perplexity']:.1f}" if when == "trained" else "",
                    signed(measured["exponent"]),
                    *(iteration_words(measured[BLOCKS], steps) for steps in lengths),
                    iteration_words(measured[DIAGONAL], middle),
                ]
            )
    return [*head, f"diagonal, {middle:,}"], rows


#: The parameters with which a cell is measured on text.
WHEN = ("initial", "trained")


def cost_table(results: Sequence[Result]) -> Table:
    """Return the cost of the random networks at one length: the scan, and Newton's method as it was counted."""
    recipe = results[0]["recipe"]
    n, steps = recipe["units"], shown(recipe["lengths"])[-2 if len(recipe["lengths"]) > 1 else -1]
    head = ["executor", f"iterations at T = {steps:,}", "multiplications", "relative to scan", "depth", "numbers held"]
    scan = scan_cost(steps, n)
    rows = [["scan", "", *cost_words(scan, scan)]]
    linear = Cost(steps * n, steps, steps * n)
    rows.append(["scan, linear and diagonal", "", *cost_words(linear, linear)])
    for chunk, words in ((steps, "one chunk"), (1024, "chunks of 1,024")):
        found = newton_cost(steps, n, iterations=1, m=1, chunk=chunk, gates=0)
        rows.append([f"associative, linear and diagonal, {words}", "1", *cost_words(found, linear)])
    for result in representative(results, steps):
        for jacobian, m in ((BLOCKS, n), (DIAGONAL, 1)):
            point = at(result[jacobian], steps)
            if point is None or not point["converged"]:
                continue
            k, about = point["iterations"], f"newton, {jacobian}, g = {result['gain']:g}"
            for chunk, words in ((steps, "one chunk"), (1024, "chunks of 1,024")):
                found = newton_cost(steps, n, iterations=k, m=m, chunk=chunk)
                rows.append([f"{about}, {words}", str(k), *cost_words(found, scan)])
    return head, rows


def representative(results: Sequence[Result], steps: int) -> list[Result]:
    """Return three of the networks that converge at a length: the first, one of two thirds, and the last."""
    solved = [result for result in results if (point := at(result[BLOCKS], steps)) and point["converged"]]
    return [solved[k] for k in sorted({0, len(solved) * 2 // 3, len(solved) - 1})] if solved else []


def cost_words(cost: Cost, scan: Cost) -> list[str]:
    """Return a cost as cells of a table."""
    return [f"{cost.work:.2g}", f"{cost.work / scan.work:,.3g}", f"{cost.depth:,}", f"{cost.memory:.2g}"]


def memory_table(results: Sequence[Result]) -> Table:
    """Return a row for each cell and executor."""
    first = results[0]
    rows = [
        [result["cell"], name, f"{size / 2**20:,.1f}" if size is not None else ""]
        for result in results
        for name, size in result["bytes"].items()
    ]
    return ["cell", f"executor, H = {first['units']}, T = {first['steps']:,}, one sequence", "MiB"], rows


def times_table(results: Sequence[Result]) -> Table:
    """Return a row for each case: milliseconds of every executor, medians."""
    names = list(dict.fromkeys(name for result in results for name in result["seconds"]))
    rows = []
    for result in sorted(results, key=lambda r: (r["cell"], r["units"], r["steps"], r["job"])):
        seconds = result["seconds"]
        times = [f"{1e3 * seconds[name]['median']:,.2f}" if name in seconds else "" for name in names]
        rows.append([f"{result['cell']}, H = {result['units']}", f"{result['steps']:,}", result["job"], *times])
    return ["cell, ms", "T", "pass", *names], rows


def iteration_words(points: Sequence[Point], steps: int) -> str:
    """Return iterations in words: "over 500" if the sequence was given up, "" if the length was not run."""
    point = at(points, steps)
    if point is None:
        return ""
    return f"{point['iterations']:,}" if point["converged"] else f"falls back ({point['iterations']:,})"


def signed(value: float, digits: int = 3) -> str:
    """Return a number with a true minus sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: not minus zero


def shown(lengths: Sequence[int]) -> list[int]:
    """Return the lengths that tables show: those a factor of ten apart, or at most ``COLUMNS`` of them."""
    decades = [steps for steps in lengths if str(steps).strip("0") == "1"]
    return (decades if len(decades) == COLUMNS else list(lengths))[:COLUMNS]
