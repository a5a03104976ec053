"""Train all networks of the study by all methods, and write the tables, the record and the figures.

python -m experiments.pascanu_2013 --runs DIR
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import readme_table
from experiments.pascanu_2013.plan import QUICK, Recipe, Training, trainings
from experiments.pascanu_2013.report import record, solved_words, tables
from experiments.pascanu_2013.train import train
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax.errors import ConfigError, UserError
from rnnlm_jax.jobs.stopping import STOPPED, Stopped, StopRequest, stop_on_signals

STUDY = Path(__file__).parent


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe | None = None) -> int:
    """Run the trainings that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    recipe = recipe or (QUICK if options.quick else Recipe())
    try:
        chosen = choose(trainings(recipe), options.only, quick=options.quick)
        require_recipe(results(runs, "*/*.json"), recipe.recorded(), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with stop_on_signals(lambda message: print(f"\r{message}", file=sys.stderr)) as stop:
        left = run_jobs(
            Job(
                training.name,
                runs / f"{training.name}.json",
                functools.partial(run, training, recipe, runs / "checkpoints" / training.name, stop, place),
            )
            for training, place in ((each, f"{k} of {len(chosen)}") for k, each in enumerate(chosen, 1))
        )
    found = results(runs, "*/*.json")
    if found and not options.quick and not options.no_record:
        record(found, study)
    for title, table in tables(found).items():
        print(f"\n{title}\n{readme_table.plain(*table)}")
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def choose(all_of_them: list[Training], words: str | None, *, quick: bool) -> list[Training]:
    """Return the trainings whose name contains one of some words, separated by commas; all for None.

    A quick trial has one of each group and method only.

    Raises:
        ConfigError: if a word is in no name.
    """
    kept = all_of_them
    if quick:
        kept = list({(each.group, each.method, each.is_range): each for each in reversed(kept)}.values())[::-1]
    if words is None:
        return kept
    for word in words.split(","):
        if not any(word in each.name for each in kept):
            names = ", ".join(sorted({each.group for each in kept}))
            raise ConfigError(f"`only` {word!r} is in no training's name: give a group ({names}) or a part of a name")
    return [each for each in kept if any(word in each.name for word in words.split(","))]


def run(training: Training, recipe: Recipe, folder: Path, stop: StopRequest, place: str) -> dict[str, Any]:
    """Return the result of a training, and print its main figures; a request to stop ends the program."""
    print(f"{place}: {training.name} …", flush=True)
    try:
        result = train(training, recipe, folder, stop=stop)
    except Stopped as error:
        print(f"{error}: give the same command to go on", file=sys.stderr)
        sys.exit(STOPPED)
    print(f"{place}: {training.name}: solved {solved_words(result)}; {result['seconds']:.0f} s", flush=True)
    return result


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Train all networks of the study by all methods, and write the tables, the record and the figures."
    parser = argparse.ArgumentParser(prog="python -m experiments.pascanu_2013", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; trainings that have one are not run again")
    add("--only", metavar="WORD,…", help="trainings whose name has one of these words: figure,range,tasks,today,lstm …")
    add("--quick", action="store_true", help="a few tiny trainings, to try the study; nothing is recorded")
    add("--no-record", action="store_true", help="print the tables only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
