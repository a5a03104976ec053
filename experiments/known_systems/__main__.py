"""Measure the exponents of known systems and of networks that learned one, and write table, record and figure.

python -m experiments.known_systems --runs DIR
"""

import argparse
import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import readme_table
from experiments.known_systems.exponents import Exponents, measure
from experiments.known_systems.network import train_and_measure
from experiments.known_systems.recipe import QUICK, Recipe
from experiments.known_systems.report import record, table
from experiments.known_systems.systems import System, henon, lorenz
from experiments.shared_work import Job, require_recipe, results, run_jobs
from rnnlm_jax.errors import ConfigError, UserError
from rnnlm_jax.jacobians import from_step
from rnnlm_jax.training.results import environment

STUDY = Path(__file__).parent


def main(arguments: Sequence[str], study: Path = STUDY, *, recipe: Recipe | None = None) -> int:
    """Run what has no result yet, and write the record of all that have one."""
    options = parser().parse_args(arguments)
    runs = Path(options.runs)
    recipe = recipe or (QUICK if options.quick else Recipe())
    try:
        if options.seeds < 1:
            raise ConfigError(f"`seeds` must be a positive whole number, not {options.seeds}")
        require_recipe(results(runs), recipe.as_record(), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    systems = {"henon": henon(), "lorenz": lorenz(recipe.time_step)}
    steps = {"henon": recipe.henon_steps, "lorenz": round(recipe.lorenz_time / recipe.time_step)}
    jobs = [
        Job(name, runs / f"1-{name}.json", functools.partial(measure_system, system, steps[name], recipe))
        for name, system in systems.items()
    ]
    jobs += [
        Job(f"network {seed}", runs / f"2-gru-{seed}.json", functools.partial(train_and_measure, seed, recipe))
        for seed in range(options.seeds)
    ]
    left = run_jobs(jobs)
    found = results(runs)
    if found and not (options.no_record or options.quick):
        record(found, study)
    if found:
        print(readme_table.plain(*table(found)))
    if left.busy:
        print(f"another process is at work on {'; '.join(left.busy)}: the last to end writes the whole record")
    return 1 if left.failed else 0


def measure_system(system: System, steps: int, recipe: Recipe) -> dict[str, Any]:
    """Measure all exponents of a system, in several rounds from other starts."""
    began = time.monotonic()
    with jax.enable_x64(True):
        cell = from_step(system.step, system.starts(jax.random.key(0), 1)[0])
        rounds = [
            measure(
                cell,
                system.params,
                system.starts(jax.random.key(number), recipe.starts),
                steps=steps,
                burn_in=recipe.burn_in_steps,
                time_step=system.time_step,
                qr_interval=system.qr_interval,
                count=len(system.published),
            )
            for number in range(recipe.rounds)
        ]
    return {
        "system": system.name,
        "recipe": recipe.as_record(),
        "exponents": together(rounds).as_record(),
        "published": system.published,
        "sum_of_exponents": system.sum_of_exponents,
        "seconds": time.monotonic() - began,
        "environment": environment(),
    }


def together(rounds: Sequence[Exponents]) -> Exponents:
    """Return the mean over rounds of equal length, which are independent."""
    mean, between, within, determinants, times = zip(*rounds, strict=True)
    return Exponents(
        np.mean(mean, axis=0),
        np.sqrt(np.square(between).sum(axis=0)) / len(rounds),
        np.sqrt(np.square(within).sum(axis=0)) / len(rounds),
        float(np.mean(determinants)),
        float(sum(times)),
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    about = "Measure Lyapunov exponents of known systems and of networks that learned one."
    parser = argparse.ArgumentParser(prog="python -m experiments.known_systems", description=about)
    add = parser.add_argument
    add("--runs", required=True, metavar="DIR", help="folder of the results; parts that have one are not run again")
    add("--seeds", type=int, default=3, metavar="N", help="networks to train (default: 3)")
    add("--quick", action="store_true", help="a short trial of every part, which writes no record")
    add("--no-record", action="store_true", help="print the table only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
