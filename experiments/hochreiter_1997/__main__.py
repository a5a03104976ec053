"""Train and test every network of the study, and write the tables, the record and the figure.

python -m experiments.hochreiter_1997 --runs DIR
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import readme_table
from experiments.hochreiter_1997.conditions import EXPERIMENTS, METHODS, Experiment, find
from experiments.hochreiter_1997.networks import networks_of
from experiments.hochreiter_1997.report import HEAD, further_tables, record, rows, sequences_words, solved_words
from experiments.hochreiter_1997.train import QUICK, Settings, expected_seconds, train_and_test
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax.errors import ConfigError, UserError
from rnnlm_jax.jobs.stopping import STOPPED, Stopped, StopRequest, stop_on_signals
from rnnlm_jax.system.progress import token_bar

STUDY = Path(__file__).parent
#: The experiments of a quick trial.
QUICK_EXPERIMENTS = ("1", "2a", "2c-50", "3a", "4-100")

#: An experiment, the method and the kind of network.
Training = tuple[Experiment, str, str]


def main(arguments: Sequence[str], study: Path = STUDY) -> int:
    """Run the trainings that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs, settings = Path(options.runs), QUICK if options.quick else Settings()
    try:
        trainings = choose(options.only, options.method, settings)
        for training in trainings:
            file = result_file(runs, training)
            require_recipe(results(file.parent, file.name), settings.recorded(*training), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with stop_on_signals(lambda message: print(f"\r{message}", file=sys.stderr)) as stop:
        left = run_jobs(
            Job(
                name_of(training),
                result_file(runs, training),
                functools.partial(run, training, settings, runs, stop, f"{k} of {len(trainings)}"),
            )
            for k, training in enumerate(trainings, 1)
        )
    found = [result for method in METHODS for result in results(runs / method)]
    if found and not options.quick and not options.no_record:
        record(found, study)
    if found:
        print(readme_table.plain(HEAD, rows(found)))
    for title, table in further_tables(found).items():
        print(f"\n{title}:\n{readme_table.plain(*table)}")
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def choose(words: str | None, method: str | None, settings: Settings) -> list[Training]:
    """Return the trainings, the shortest first.

    Args:
        words: names of experiments, separated by commas; None: all, or in a trial some.
        method: "published" or "present-day"; None: both.
        settings: the settings.

    Raises:
        ConfigError: for an unknown name.
    """
    names = words.split(",") if words is not None else None
    if names is None:
        names = QUICK_EXPERIMENTS if settings == QUICK else [experiment.name for experiment in EXPERIMENTS]
    if method not in (None, *METHODS):
        raise ConfigError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")
    trainings = [(each, way, kind) for each in find(names) for way, kind in networks_of(each) if method in (None, way)]
    return sorted(trainings, key=lambda training: expected_seconds(*training, settings))


def name_of(training: Training) -> str:
    """Return the name of a training."""
    experiment, method, kind = training
    return f"{experiment.name}, {method}, {kind}"


def result_file(runs: Path, training: Training) -> Path:
    """Return the file of a result."""
    experiment, method, kind = training
    return runs / method / f"{experiment.name}-{kind}.json"


def run(training: Training, settings: Settings, runs: Path, stop: StopRequest, place: str) -> dict[str, Any]:
    """Return the result of a training, with a progress bar; a request to stop ends the program."""
    experiment, method, kind = training
    name = f"{place}: {name_of(training)}"
    made = 0
    with token_bar(name, settings.most_sequences(experiment, method), unit=" seq") as bar:

        def report(entry: dict[str, Any]) -> None:
            nonlocal made
            bar.update(entry["sequences"] - made)
            made = entry["sequences"]
            solved = sum(accuracy is None for accuracy in entry["accuracy"])
            bar.set_postfix_str(f"{solved} of {len(entry['accuracy'])} solved", refresh=False)

        try:
            folder = runs / "checkpoints" / method / f"{experiment.name}-{kind}"
            result = train_and_test(experiment, method, kind, settings, folder, stop=stop, report=report)
        except Stopped as error:
            print(f"{name}: {error}", file=sys.stderr)
            sys.exit(STOPPED)
    shown = f"{solved_words(result)} solved, after {sequences_words(result)} sequences, {result['seconds']:.0f} s"
    print(f"{name}: {shown}", flush=True)
    return result


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Every experiment of Hochreiter & Schmidhuber (1997): the tables, the record and the figure."
    parser = argparse.ArgumentParser(prog="python -m experiments.hochreiter_1997", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; trainings that have one are not run again")
    add("--only", metavar="NAME,…", help="experiments (default: all), such as 2a,4-100")
    add("--method", metavar="NAME", help=f"{' or '.join(METHODS)} (default: both)")
    add("--quick", action="store_true", help="a trial in seconds: few short sequences, 2 seeds; nothing is recorded")
    add("--no-record", action="store_true", help="print the tables only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
