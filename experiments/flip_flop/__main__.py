"""Train networks on the 3-bit flip-flop, find their fixed and slow points, and write table, record and figure.

python -m experiments.flip_flop --runs DIR
python -m experiments.flip_flop --runs DIR --quick
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import readme_table
from experiments.every_cell import chosen
from experiments.flip_flop.networks import NETWORKS, QUICK, Recipe, measure
from experiments.flip_flop.report import record, table
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax.errors import UserError

STUDY = Path(__file__).parent


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe | None = None) -> int:
    """Train and measure the networks that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    recipe = recipe or (QUICK if options.quick else Recipe())
    recipe = dataclasses.replace(recipe, seed=options.seed)
    try:
        names = chosen(options.networks, tuple(NETWORKS), "network")
        require_recipe(results(runs), dataclasses.asdict(recipe), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    left = run_jobs(Job(name, runs / f"{name}.json", functools.partial(run, name, recipe)) for name in names)
    found = results(runs)
    if found:
        print(readme_table.plain(*table(found)))
        if not options.no_record:
            record(found, runs if options.quick else study)
    if left.busy:
        print(f"another process is at work on {', '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def run(network: str, recipe: Recipe) -> dict[str, Any]:
    """Train and measure a network, and say how long it took."""
    result = measure(network, recipe)
    print(f"{network}: {100 * result['accuracy']:.2f} % right, {result['seconds']:.0f} s", flush=True)
    return result


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Train networks on the 3-bit flip-flop, find their fixed and slow points, and write table, record, figure."
    parser = argparse.ArgumentParser(prog="python -m experiments.flip_flop", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; networks that have one are not run again")
    add("--networks", metavar="NAME,…", help=f"networks (default: {','.join(NETWORKS)})")
    add("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    add("--quick", action="store_true", help="a small trial, recorded in DIR")
    add("--no-record", action="store_true", help="print the table only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
