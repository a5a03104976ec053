"""Train every cell as a language model of one size, measure it, and write the table, the record and the figure.

python -m experiments.zoo --runs DIR
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import readme_table
from experiments.every_cell import causal_cells, chosen
from experiments.shared_work import Job, require_recipe, results, run_jobs
from experiments.zoo.measure import Recipe, texts_of, train_and_measure, training_speed
from experiments.zoo.report import HEAD, merged, perplexity_words, record, rows
from rnnlm_jax.errors import UserError

STUDY = Path(__file__).parent
DEFAULT = Recipe()


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe = DEFAULT) -> int:
    """Train and measure the cells that have no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    given = {"epochs": options.epochs, "steps": options.steps, "seed": options.seed}
    recipe = dataclasses.replace(recipe, **{key: value for key, value in given.items() if value is not None})
    kind = "timed" if options.time else "trained"
    try:
        names = chosen(options.cells, causal_cells(), "cell")
        for other in ("trained", "timed"):
            require_recipe(results(runs / other), recipe.recorded(), runs)
        texts = texts_of(recipe)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def job(cell: str, place: str) -> Job:
        if options.time:
            work = functools.partial(training_speed, cell, recipe, texts)
        else:
            work = functools.partial(train_and_measure, cell, recipe, texts, runs / cell)
        return Job(cell, runs / kind / f"{cell}.json", functools.partial(told, f"{place}: {cell}", work))

    left = run_jobs([job(cell, f"{k} of {len(names)}") for k, cell in enumerate(names, 1)])
    found = merged(results(runs / "trained"), results(runs / "timed"))
    if found and not options.no_record:
        record(found, study)
    if found:
        print(readme_table.plain(HEAD, rows(found)))
    if left.busy:
        print(f"another process is at work on {', '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def told(name: str, work: Any) -> dict[str, Any]:
    """Return the result of some work, and print its main figures."""
    print(f"{name} …", flush=True)
    result = work()
    if "test_perplexity" in result:
        shown = f"test perplexity {perplexity_words(result['test_perplexity'])}, {result['hidden_size']} units, "
        shown += f"{result['parameters']:,} parameters, {result['tokens_per_second_in_training']:,.0f} tokens/s"
    else:
        shown = f"{result['tokens_per_second']:,.0f} tokens/s ({result['executor']})"
    print(f"{name}: {shown}", flush=True)
    return result


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Train every cell as a language model of one size, and write the table, the record and the figure."
    parser = argparse.ArgumentParser(prog="python -m experiments.zoo", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the runs; cells that have a result are not run again")
    add("--cells", metavar="NAME,…", help="cells (default: every causal one)")
    add("--epochs", type=int, metavar="N", help=f"passes over the training text (default: {DEFAULT.epochs})")
    add("--steps", type=int, metavar="N", help="steps in place of epochs, for a trial")
    add("--seed", type=int, metavar="N", help=f"seed (default: {DEFAULT.seed})")
    add("--time", action="store_true", help="measure the speed of training only; on a machine without other work")
    add("--no-record", action="store_true", help="print the table only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
