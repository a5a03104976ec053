"""Count Newton iterations beside Lyapunov exponents, and write the tables, the record and the figures.

python -m experiments.parallel_in_time --runs DIR
python -m experiments.parallel_in_time --runs DIR --time
"""

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.parallel_in_time import cost, gains, text, timing
from experiments.parallel_in_time.iterations import Advance
from experiments.parallel_in_time.programs import executors
from experiments.parallel_in_time.recipe import Recipe
from experiments.parallel_in_time.report import record, tables
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax.errors import UserError
from rnnlm_jax.system.progress import token_bar

STUDY = Path(__file__).parent
DEFAULT = Recipe()
#: Folders of results: random networks, cells on text, memory, times.
KINDS = ("random", "text", "memory", "times")


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe = DEFAULT) -> int:
    """Measure what has no result yet, and write the record of all that has one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    recipe = dataclasses.replace(recipe, corpus=options.corpus or recipe.corpus)
    try:
        for kind in KINDS:
            require_recipe(results(runs / kind), recipe.recorded(), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    parts = timed_parts(recipe) if options.time else measured_parts(recipe, runs)
    jobs = [
        Job(name, runs / f"{name}.json", functools.partial(with_bar, f"{k} of {len(parts)}: {name}", total, work))
        for k, (name, total, work) in enumerate(parts, 1)
    ]
    left = run_jobs(jobs)
    found = with_recorded({kind: results(runs / kind) for kind in KINDS}, study)
    print(tables(found))
    if not options.no_record:
        record(found, study)
    if left.busy:
        print(f"another process is at work on {', '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


#: Name, the number of units of progress, and the work.
Part = tuple[str, int, Callable[..., dict[str, Any]]]


def measured_parts(recipe: Recipe, runs: Path) -> list[Part]:
    """Return all parts but the times."""
    lengths = len(recipe.text_lengths)
    return [
        *(
            (f"random/gain-{gain}", 2 * len(recipe.lengths), functools.partial(gains.of_gain, gain, recipe))
            for gain in recipe.gains
        ),
        *(
            (f"text/{cell}", 1 + 2 * (lengths + 1), functools.partial(text.of_cell, cell, recipe, runs / "runs" / cell))
            for cell in recipe.cells
        ),
        *(
            (f"memory/{cell}", 1 + len(executors(cell)), functools.partial(cost.memory, cell, recipe))
            for cell in cost.MEASURED
        ),
    ]


def timed_parts(recipe: Recipe) -> list[Part]:
    """Return the times."""
    return [(f"times/{case.name}", 1, functools.partial(timing.times, case, recipe)) for case in timing.cases(recipe)]


def with_bar(name: str, total: int, work: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return the result of a part, with a progress bar."""
    print(f"{name} …", flush=True)
    with token_bar(name, total, unit=" measurements") as bar:
        advance: Advance = bar.update
        return work(advance=advance)


def with_recorded(found: dict[str, list[dict[str, Any]]], study: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the results, those of a kind that has none from the record of the study."""
    file = study / "results.json"
    recorded = json.loads(file.read_text()) if file.exists() else {}
    return {kind: parts or recorded.get(kind, []) for kind, parts in found.items()}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Count Newton iterations beside Lyapunov exponents, and write the tables, the record and the figures."
    parser = argparse.ArgumentParser(prog="python -m experiments.parallel_in_time", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; parts that have one are not run again")
    add("--corpus", metavar="NAME", help=f"the text, such as ptb (default: {DEFAULT.corpus})")
    add("--time", action="store_true", help="measure times only; on a machine without other work")
    add("--no-record", action="store_true", help="print the tables only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
