"""Train networks and an n-gram model, measure how far back they use what they read, and write tables and figures.

python -m experiments.long_range --runs DIR
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.every_cell import chosen
from experiments.long_range import measure
from experiments.long_range.figures import draw_agreement, draw_particles
from experiments.long_range.recipe import MODELS, QUICK, Recipe
from experiments.long_range.tables import document, plain_text
from experiments.readme_table import write_table
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting import save

STUDY = Path(__file__).parent
DEFAULT = Recipe()
#: Folders of results.
ENGLISH, GERMAN = "measured/english", "measured/german"


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe = DEFAULT) -> int:
    """Train and measure the models that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    recipe = QUICK if options.quick else recipe
    try:
        names = chosen(options.models, MODELS, "model")
        for folder in (ENGLISH, GERMAN):
            require_recipe(results(runs / folder), recipe.recorded(), runs)
        data = measure.data_folder(options.data)
        measure.english_texts(recipe, runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    parts = {
        ENGLISH: functools.partial(measure.english, plan=recipe, folder=data, runs=runs),
        GERMAN: functools.partial(measure.german, plan=recipe, runs=runs),
    }
    works = [(folder, name, functools.partial(work, name)) for folder, work in parts.items() for name in names]
    left = run_jobs(
        Job(f"{name}, {Path(folder).name}", runs / folder / f"{name}.json", reported(f"{k} of {len(works)}", work))
        for k, (folder, name, work) in enumerate(works, 1)
    )
    found = {folder: in_order(results(runs / folder)) for folder in (ENGLISH, GERMAN)}
    if any(found.values()):
        print(plain_text(found[ENGLISH], found[GERMAN]))
    if not (options.no_record or options.quick) and all(found.values()):
        record(found, study)
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def reported(place: str, work: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Return the work, with a line before and after it."""

    def run() -> dict[str, Any]:
        print(f"{place} …", flush=True)
        found = work()
        pairs = found.get("linzen") or found["pairs"]
        print(
            f"{place}: {found['model']}, test perplexity {found['test_perplexity']:.1f}, {pairs['data']} "
            f"{100 * pairs['accuracy']:.1f} %",
            flush=True,
        )
        return found

    return run


def in_order(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return results in the order of the models."""
    return sorted(found, key=lambda result: MODELS.index(result["model"]))


def record(found: dict[str, list[dict[str, Any]]], study: Path) -> None:
    """Write ``results.json``, the figures, and the tables of the README of a study."""
    write_json(study / "results.json", {"english": found[ENGLISH], "german": found[GERMAN]})
    save(draw_agreement(found[ENGLISH]), study / "agreement.png")
    save(draw_particles(found[GERMAN]), study / "separable-verbs.png")
    write_table(study / "README.md", document(found[ENGLISH], found[GERMAN]))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Train networks and an n-gram model, measure how far back they use what they read, and write tables."
    parser = argparse.ArgumentParser(prog="python -m experiments.long_range", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the runs; models that have a result are not run again")
    add("--data", metavar="DIR", help="folder with blimp/ and agreement/linzen/ (default: $RNNLM_JAX_DATA)")
    add("--models", metavar="NAME,…", help=f"models (default: {','.join(MODELS)})")
    add("--quick", action="store_true", help="everything in seconds, on a text of the study's own; nothing is recorded")
    add("--no-record", action="store_true", help="print the tables only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
