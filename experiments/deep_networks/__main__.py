"""Measure networks at initialisation, train them, and write the tables, the record and the figures.

python -m experiments.deep_networks --runs DIR
python -m experiments.deep_networks --runs DIR --quick
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.deep_networks import at_initialisation, learning, sigmoid_bound
from experiments.deep_networks.networks import ACTIVATIONS, VARIANTS
from experiments.deep_networks.recipe import FULL, QUICK, Recipe
from experiments.deep_networks.summary import record, tables
from experiments.every_cell import chosen
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax.errors import UserError
from rnnlm_jax.system.progress import token_bar

STUDY = Path(__file__).parent
#: Folders of results: the sigmoid's bound, networks at initialisation, trained networks.
BOUND, INITIAL, TRAINED = KINDS = ("bound", "initial", "trained")


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe | None = None) -> int:
    """Measure what has no result yet, and write the record of all that has one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    given = {name: value for name in ("steps", "seed") if (value := getattr(options, name)) is not None}
    recipe = dataclasses.replace(recipe or (QUICK if options.quick else FULL), **given)
    try:
        activations = chosen(options.activations, tuple(ACTIVATIONS), "activation")
        variants = chosen(options.variants, tuple(VARIANTS), "variant")
        for kind in KINDS:
            require_recipe(results(runs / kind), recipe.recorded(), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    parts = parts_of(recipe, activations, variants)
    left = run_jobs(
        Job(part.name, runs / f"{part.name}.json", functools.partial(with_bar, f"{k} of {len(parts)}", part))
        for k, part in enumerate(parts, 1)
    )
    found = {kind: results(runs / kind) for kind in KINDS}
    print(tables(found, plain=True))
    if not options.no_record:
        record(found, runs if options.quick else study)
    if left.busy:
        print(f"another process is at work on {', '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of the study with a result of its own."""

    name: str
    total: int
    """Units of progress."""
    unit: str
    work: Callable[..., dict[str, Any]]


def parts_of(recipe: Recipe, activations: Sequence[str], variants: Sequence[str]) -> list[Part]:
    """Return the parts of the study, those that take longest last."""
    pairs = [(activation, variant) for activation in activations for variant in variants]
    runs_of_depth = len(recipe.rates) + recipe.seeds - 1
    steps = len(recipe.depths) * runs_of_depth * recipe.steps
    return [
        Part(f"{BOUND}/sigmoid", len(sigmoid_bound.KINDS), "kinds", functools.partial(sigmoid_bound.measure, recipe)),
        *(
            Part(
                f"{INITIAL}/{activation}-{variant}",
                recipe.seeds,
                "networks",
                functools.partial(at_initialisation.measure, activation, variant, recipe),
            )
            for activation, variant in pairs
        ),
        *(
            Part(
                f"{TRAINED}/{activation}-{variant}",
                steps,
                "steps",
                functools.partial(learning.train_and_test, activation, variant, recipe),
            )
            for activation, variant in pairs
        ),
    ]


def with_bar(place: str, part: Part) -> dict[str, Any]:
    """Return the result of a part, with a progress bar."""
    print(f"{place}: {part.name} …", flush=True)
    with token_bar(f"{place}: {part.name}", part.total, unit=f" {part.unit}") as bar:
        return part.work(progress=bar.update)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Measure networks at initialisation, train them, and write the tables, the record and the figures."
    parser = argparse.ArgumentParser(prog="python -m experiments.deep_networks", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; parts that have one are not run again")
    add("--quick", action="store_true", help="a small trial, whose record and figures are written to DIR")
    add("--activations", metavar="NAME,…", help=f"activations (default: {','.join(ACTIVATIONS)})")
    add("--variants", metavar="NAME,…", help=f"kinds of networks (default: {','.join(VARIANTS)})")
    add("--steps", type=int, metavar="N", help=f"steps of training (default: {FULL.steps})")
    add("--seed", type=int, metavar="N", help=f"the first seed (default: {FULL.seed})")
    add("--no-record", action="store_true", help="print the tables only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
