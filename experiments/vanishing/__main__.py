"""Train the four networks of the study with regularisation, from several seeds, and measure how far back they look.

python -m experiments.vanishing --runs DIR
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.every_cell import chosen
from experiments.readme_table import markdown, plain, write_table
from experiments.shared_work import Job, require_recipe, results, run_jobs
from experiments.vanishing.plan import MODELS, QUICK, Recipe
from experiments.vanishing.regularised import HEAD, measure, rows, train_and_measure
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.run_folder import write_json

STUDY = Path(__file__).parent


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe | None = None) -> int:
    """Train and measure the networks that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    recipe = recipe or (QUICK if options.quick else Recipe())
    runs = Path(options.runs)
    measured = runs / "measured"
    try:
        wanted = chosen(options.only, MODELS, "model")
        require_recipe(results(measured, "trained/*.json"), recipe.recorded(), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    jobs = [
        Job(
            f"{model}, seed {seed}",
            measured / "trained" / f"{MODELS.index(model)}-{model}-{seed}.json",
            functools.partial(train_and_measure, model, seed, recipe, runs),
        )
        for seed in recipe.seeds
        for model in wanted
    ]
    for name, run in options.also:
        job = functools.partial(also, name, Path(run), recipe)
        jobs.append(Job(name, measured / "also" / f"{name}.json", job))
    left = run_jobs(jobs)
    found = [*results(measured, "trained/*.json"), *results(measured, "also/*.json")]
    if found:
        print(plain(HEAD, rows(found)))
    if found and not (options.no_record or options.quick):
        write_json(study / "regularised.json", {"networks": found})
        write_table(study / "README.md", markdown(HEAD, rows(found)))
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def also(name: str, run: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the result of a run that was trained elsewhere."""
    return {"model": name} | measure(run, recipe.measured)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Train four recurrent networks of equal size with dropout, and measure how far back they look."
    parser = argparse.ArgumentParser(prog="python -m experiments.vanishing", description=about)
    add = parser.add_argument
    add(
        "--runs", required=True, metavar="DIR", help="folder of the runs; networks that have a result are not run again"
    )
    add("--only", metavar="NAME,…", help=f"models of {','.join(MODELS)}")
    add("--also", action="append", default=[], type=_pair, metavar="NAME=RUN", help="measure a trained run, too")
    add("--quick", action="store_true", help="tiny networks for an epoch, prints only")
    add("--no-record", action="store_true", help="print the table only")
    return parser


def _pair(word: str) -> tuple[str, str]:
    name, equals, run = word.partition("=")
    if not (name and equals and run):
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=RUN")
    return name, run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
