"""Run the four experiments of Elman (1990), and write the tables, the record and the figures.

python -m experiments.elman_1990 --runs DIR
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.elman_1990 import bits
from experiments.elman_1990.recipes import RECIPES, TASKS, Recipe, Recipes, quick, recorded
from experiments.elman_1990.report import record, tables
from experiments.elman_1990.sentences import sentences
from experiments.elman_1990.train import Answers, read_answers, train
from experiments.every_cell import chosen
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax import tasks
from rnnlm_jax.errors import UserError
from rnnlm_jax.training.results import environment

STUDY = Path(__file__).parent
#: Experiment -> what is measured of its networks.
MEASURES: dict[str, Callable[[Answers, Recipe], dict[str, Any]]] = {
    "xor": lambda answers, recipe: bits.xor(answers),
    "letters": lambda answers, recipe: bits.letters(answers),
    "words": lambda answers, recipe: bits.words(answers),
    "sentences": sentences,
}


def main(arguments: Sequence[str], study: Path = STUDY, *, recipes: Recipes = RECIPES) -> int:
    """Train the networks that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    recipes = quick(recipes) if options.quick else recipes
    try:
        experiments = chosen(options.only, tuple(TASKS), "experiment")
        networks = [(name, network, recipe) for name in experiments for network, recipe in recipes[name].items()]
        for name, network, recipe in networks:
            require_recipe(results(runs / name, f"{network}.json"), recorded(recipe), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    jobs = [
        Job(f"{name}, {network}", runs / name / f"{network}.json", functools.partial(run, name, network, recipe, place))
        for place, (name, network, recipe) in ((f"{k} of {len(networks)}", each) for k, each in enumerate(networks, 1))
    ]
    left = run_jobs(jobs)
    found = {
        name: [each for network in recipes[name] for each in results(runs / name, f"{network}.json")] for name in TASKS
    }
    print(tables(found))
    if not options.no_record and not options.quick:
        record(found, study)
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def run(name: str, network: str, recipe: Recipe, place: str) -> dict[str, Any]:
    """Return the result of a network in an experiment."""
    print(f"{place}: {name}, {network} …", flush=True)
    began = time.perf_counter()
    task = tasks.make(TASKS[name], loss=recipe.loss)
    trained = train(task, recipe, quiet=False)
    measured = MEASURES[name](read_answers(trained, task, recipe.test_length), recipe)
    return {
        "experiment": name,
        "network": network,
        "recipe": recorded(recipe),
        "steps": trained.steps,
        "skipped_steps": list(trained.skipped),
        **measured,
        "seconds": round(time.perf_counter() - began, 1),
        "environment": environment(),
    }


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Run the four experiments of Elman (1990), and write the tables, the record and the figures."
    parser = argparse.ArgumentParser(prog="python -m experiments.elman_1990", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; networks that have one are not run again")
    add("--only", metavar="NAME,…", help=f"experiments (default: {','.join(TASKS)})")
    add("--quick", action="store_true", help="sizes that take seconds, and print the tables only; use another DIR")
    add("--no-record", action="store_true", help="print the tables only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
