"""Measure random networks beside their mean-field theory, and write the tables, the record and the figures.

python -m experiments.mean_field --runs DIR
python -m experiments.mean_field --runs DIR --quick
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import readme_table
from experiments.mean_field import measure
from experiments.mean_field.report import Rows, record, tables
from experiments.shared_work import Job, results, run_jobs
from rnnlm_jax.system.progress import token_bar

STUDY = Path(__file__).parent

#: Activation, g and σ_x²: within the limits that the theory has (relu: g < √2).
ELMAN = (
    *(("tanh", gain, 0.0) for gain in (0.8, 1.2, 1.5, 2.0, 3.0)),
    *(("tanh", gain, 0.5) for gain in (0.8, 1.5, 2.0, 3.0)),
    *(("sigmoid", gain, 1.0) for gain in (3.0, 8.0, 12.0)),
    *(("relu", gain, 0.5) for gain in (0.8, 1.2)),
)
#: The same, and the number of steps of the product.
DENSITIES = (
    ("tanh", 0.8, 0.5, 1),
    ("tanh", 1.5, 0.0, 1),
    ("tanh", 3.0, 0.0, 1),
    ("tanh", 3.0, 0.0, 4),
    ("sigmoid", 8.0, 1.0, 2),
    ("relu", 1.2, 0.5, 2),
)
#: Gains at which the fixed point is stable.
GATED: tuple[tuple[str, float, dict[str, float]], ...] = (
    ("gru", 0.8, {"update_bias": -1.0, "bias_variance": 0.3}),
    ("gru", 1.5, {"update_bias": 0.0, "bias_variance": 0.3}),
    ("gru", 1.5, {"update_bias": 3.0, "bias_variance": 0.3}),
    *(
        ("lstm", gain, {"forget_bias": bias, "bias_variance": 0.3})
        for gain, bias in ((3.0, -2.0), (1.5, 0.0), (0.6, 2.0), (0.3, 4.0), (0.1, 6.0))
    ),
)
#: Folders of results, one for each table.
KINDS = ("exponents", "densities", "gated", "minimal", "critical")
GATE_BIASES = (-2.0, 0.0, 1.0, 2.0, 3.0)


class Sizes(NamedTuple):
    """Units and steps of the measurements."""

    units: int = 1000
    small: int = 250
    """Units of the second, smaller network of each exponent."""
    steps: int = 1200
    settle: int = 1500
    """Steps of gated networks to their fixed point; four times as many for wide open gates."""
    networks: int = 5
    """Networks of sigmoid and relu units."""
    times: int = 6
    """Times at which products of Jacobians are formed."""


def jobs_of(sizes: Sizes, folder: Path) -> list[Job]:
    """Return a job for each row of each table."""
    parts: list[tuple[str, Any]] = []
    for units in dict.fromkeys((sizes.small, sizes.units)):
        for phi, gain, variance in ELMAN:
            one = phi == "tanh"  # units with a mean activity have more scatter from network to network
            run = functools.partial(
                measure.elman_exponent,
                phi,
                gain,
                variance,
                units=units,
                steps=sizes.steps if one else sizes.steps // 3,
                networks=1 if one else sizes.networks,
            )
            parts.append((f"exponents/{units:05d}-{phi}-{variance}-{gain:04.1f}", run))
    for k, (phi, gain, variance, depth) in enumerate(DENSITIES):
        run = functools.partial(
            measure.elman_density,
            phi,
            gain,
            variance,
            depth,
            units=sizes.units,
            steps=sizes.steps // 4,
            times=sizes.times,
        )
        parts.append((f"densities/{k}-{phi}", run))
    for k, (cell, gain, parameters) in enumerate(GATED):
        steps = sizes.settle * (4 if parameters.get("forget_bias", 0.0) > 3 else 1)
        run = functools.partial(measure.gated, cell, gain, parameters, units=sizes.units, steps=steps)
        parts.append((f"gated/{k}-{cell}", run))
    for bias in GATE_BIASES:
        run = functools.partial(measure.minimal, bias, units=sizes.units, steps=sizes.steps // 4)
        parts.append((f"minimal/{bias:+05.1f}", run))
    for matrix in ("orthogonal", "gaussian"):
        run = functools.partial(measure.critical, matrix, 0.3, units=sizes.units, steps=100)
        parts.append((f"critical/{matrix}", run))
    return [Job(name, folder / f"{name}.json", run) for name, run in parts]


def main(arguments: Sequence[str], study: Path = STUDY, *, sizes: Sizes | None = None) -> int:
    """Measure what has no result yet, print the tables, and write the record unless told not to."""
    parser = argparse.ArgumentParser(prog="python -m experiments.mean_field", description=__doc__)
    parser.add_argument("--runs", required=True, metavar="DIR", help="folder of the results of single networks")
    parser.add_argument("--quick", action="store_true", help="100 units and few steps, without a record")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    sizes = sizes or (Sizes(100, 50, 200, 300, 2, 2) if options.quick else Sizes())
    folder = Path(options.runs) / f"{sizes.units}-units-{sizes.steps}-steps"
    jobs = jobs_of(sizes, folder)
    without = 0
    with token_bar("random networks", len(jobs), unit="network") as bar:
        for job in jobs:
            left = run_jobs([job])
            without += len(left.busy) + len(left.failed)
            bar.update(1)
    if without:
        print(f"{without} of {len(jobs)} networks have no result: run the command again", file=sys.stderr)
        return 1
    found: dict[str, Rows] = {
        kind: results(folder / kind) for kind in ("exponents", "densities", "gated", "minimal", "critical")
    }
    for name, table in tables(found).items():
        print(f"\n{name}\n{readme_table.plain(*table)}")
    if not (options.quick or options.no_record):
        record(found, study)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
