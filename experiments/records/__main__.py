"""Train the models of the study, measure them in every way, and write tables and the record.

python -m experiments.records --runs DIR
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.every_cell import chosen
from experiments.records.measure import train_and_measure
from experiments.records.plan import Ladder, Model, models
from experiments.records.report import plain_text, record
from experiments.shared_work import Job, results, run_jobs
from rnnlm_jax.errors import UserError

STUDY = Path(__file__).parent


def main(arguments: Sequence[str], study: Path = STUDY, *, plan: Sequence[Model] | None = None) -> int:
    """Train and measure the models that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs, plan = Path(options.runs), models(Ladder()) if plan is None else plan
    try:
        known = (*dict.fromkeys(model.group for model in plan), *(model.name for model in plan))
        wanted = set(chosen(options.only, known, "model"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    todo = [model for model in plan if {model.name, model.group} & wanted]
    left = run_jobs(
        Job(model.path, runs / "measured" / f"{model.path}.json", functools.partial(reported, model, runs))
        for model in todo
    )
    place = {model.path: k for k, model in enumerate(plan)}
    found = sorted(results(runs / "measured", "*/*.json"), key=lambda each: place[f"{each['group']}/{each['name']}"])
    if found:
        print(plain_text(found))
    if found and not options.no_record:
        record(found, study)
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def reported(model: Model, runs: Path) -> dict[str, Any]:
    """Return the result of a model, with a line before and after the work."""
    print(f"{model.path} …", flush=True)
    found = train_and_measure(model, runs)
    print(f"{model.path}: test perplexity {found['test_perplexity']:.2f}, {found['hours']:.1f} h", flush=True)
    return found


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Train language models of record quality for two CPU cores, measure them in every way, and write tables."
    parser = argparse.ArgumentParser(prog="python -m experiments.records", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the runs; models that have a result are not run again")
    add("--only", metavar="NAME,…", help="models or groups: records,ladder,melis-10m …")
    add("--no-record", action="store_true", help="print the tables only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
