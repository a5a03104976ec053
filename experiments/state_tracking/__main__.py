"""Train every cell on every state-tracking task, and write the table, the record and the figure.

python -m experiments.state_tracking --runs DIR
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments import readme_table
from experiments.every_cell import causal_cells, chosen
from experiments.shared_work import Job, require_recipe, results, run_jobs
from experiments.state_tracking.report import record, table
from experiments.state_tracking.train import Recipe, train_and_test
from rnnlm_jax.errors import UserError
from rnnlm_jax.system.progress import token_bar

STUDY = Path(__file__).parent
#: The tasks of the study; the library has others.
TASKS = ("parity", "modular-arithmetic", "cycle-navigation")


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe = Recipe()) -> int:  # noqa: B008
    """Run the pairs of cells and tasks that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    recipe = Recipe(**asdict(recipe) | {"steps": options.steps or recipe.steps, "seed": options.seed})
    try:
        names = chosen(options.cells, causal_cells(), "cell")
        pairs = [(task, cell) for task in chosen(options.tasks, TASKS, "task") for cell in names]
        require_recipe(results(runs, "*/*.json"), asdict(recipe), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    jobs = [
        Job(f"{cell}, {task}", runs / task / f"{cell}.json", functools.partial(run_pair, cell, task, recipe, place))
        for (task, cell), place in ((pair, f"{k} of {len(pairs)}") for k, pair in enumerate(pairs, 1))
    ]
    left = run_jobs(jobs)
    found = results(runs, "*/*.json")
    if found and not options.no_record:
        record(found, study)
    if found:
        print(readme_table.plain(*table(found)))
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def run_pair(cell: str, task: str, recipe: Recipe, place: str) -> dict[str, Any]:
    """Train and test a cell on a task, with a progress bar."""
    with token_bar(f"{place}: {cell}, {task}", recipe.steps, unit=" steps") as bar:
        result = train_and_test(cell, task, recipe, progress=bar.update)
    shown = f"{100 * result['accuracy_beyond']:.1f} % beyond length {recipe.train_length}, "
    shown += f"{100 * result['accuracy_up_to_train_length']:.1f} % up to it"
    print(f"{place}: {cell}, {task}: {shown}; {result['seconds']:.0f} s", flush=True)
    return result


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Train every cell on every state-tracking task, and write the table, the record and the figure."
    parser = argparse.ArgumentParser(prog="python -m experiments.state_tracking", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; pairs that have one are not run again")
    add("--cells", metavar="NAME,…", help="cells (default: every causal one)")
    add("--tasks", metavar="NAME,…", help=f"tasks (default: {','.join(TASKS)})")
    add("--steps", type=int, metavar="N", help=f"steps of training (default: {Recipe().steps:,})")
    add("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    add("--no-record", action="store_true", help="print the table only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
