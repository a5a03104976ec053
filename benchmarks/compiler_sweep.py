"""Random programs compiled by default, against unoptimised programs: ``python -m benchmarks.compiler_sweep``.

Programs are cells over time by every executor, losses of language models and functions of ``jacobians``, of random
shapes and options, in float32 and float64: values, gradients, tangents and second derivatives, with and without
``vmap``. Each is compiled by ``jax.jit`` with its defaults, and by the plain scan without optimisation; a difference
beyond rounding is a fault of the compiler. Where ``rnnlm_jax.compilation`` finds the float64 fault of some jaxlib
releases, the program is also compiled with the options that it chooses. Remaining differences are printed, and the exit
code is 1.

    python -m benchmarks.compiler_sweep --processes 2            # 2000 programs, some 50 minutes on two cores
    python -m benchmarks.compiler_sweep --minutes 60 --seed 7    # as many as fit into an hour
"""

import argparse
import collections
import dataclasses
import functools
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jaxlib.version
import numpy as np

from benchmarks.sweep_programs import TRANSFORMATIONS, Program, draw_program
from rnnlm_jax.compilation import RIGHT_OPTIONS, float64_is_miscompiled
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.results import environment

UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
if tuple(map(int, jaxlib.version.__version__.split(".")[:2])) < (0, 11):  # later releases have no such option
    UNOPTIMISED["xla_cpu_use_fusion_emitters"] = False

#: Largest difference due to rounding, relative to the largest entry of an array. The fault causes 1 % and more.
TOLERANCE = {"float32": 2e-3, "float64": 1e-8}

#: An array this small, relative to the largest entry of all arrays, may consist of rounding errors.
SMALL = 1e-3


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """A program whose result was wrong."""

    seed: int
    number: int
    """Index among the programs that the seed draws."""
    what: str
    default: float | None
    """Difference with default options, relative to what rounding explains; None if not examined."""
    with_right_options: float | None
    """The same with the options that the library chooses; None if it chooses the defaults."""


def difference(found: Any, expected: Any) -> float:
    """Return the largest difference of two trees, relative to the largest entry of each array and to ``TOLERANCE``.

    Up to 1 it is due to rounding. An entry that is finite in one tree only makes the difference infinite.
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(expected)]
    leaves = [(np.asarray(a), b) for a, b in zip(jax.tree.leaves(found), leaves, strict=True)]
    floats = [(a, b) for a, b in leaves if np.issubdtype(b.dtype, np.floating) and b.size]
    overall = max((np.abs(b[np.isfinite(b)]).max(initial=0.0) for _, b in floats), default=0.0)
    worst = 0.0 if all(np.array_equal(a, b) for a, b in leaves if not np.issubdtype(b.dtype, np.floating)) else np.inf
    for a, b in floats:
        finite = np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
            return np.inf
        scale = max(np.abs(b[finite]).max(initial=0.0), SMALL * overall)
        if scale:
            worst = max(worst, float(np.abs(a[finite] - b[finite]).max(initial=0.0) / scale / TOLERANCE[b.dtype.name]))
    return worst


def examine(program: Program, only_chosen: bool = False) -> tuple[float | None, float | None]:
    """Return the differences of one program with default options, and with the right options if the library uses them.

    With ``only_chosen``, the default options are left out where the library uses the right options.
    """
    expected = jax.jit(program.plain, compiler_options=UNOPTIMISED)(*program.arguments)
    miscompiled = float64_is_miscompiled()
    default = None
    if not (only_chosen and miscompiled):
        default = difference(jax.jit(program.function)(*program.arguments), expected)
    if not miscompiled:
        return default, None
    right = jax.jit(program.function, compiler_options=RIGHT_OPTIONS)(*program.arguments)
    return default, difference(right, expected)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The results of one process."""

    seed: int
    by_kind: collections.Counter[str]
    mismatches: list[Mismatch]
    float64_is_miscompiled: bool


def sweep(seed: int, programs: int | None, minutes: float | None, only_chosen: bool) -> Sweep:
    """Examine the random programs of a seed, up to ``programs`` of them or until the time is over."""
    jax.config.update("jax_enable_x64", True)
    rng, start, number = random.Random(seed), time.monotonic(), 0
    found = Sweep(seed, collections.Counter(), [], float64_is_miscompiled())
    with token_bar(f"programs of seed {seed}", programs, unit="program") as bar:
        while (programs is None or number < programs) and (minutes is None or time.monotonic() - start < 60 * minutes):
            program = draw_program(rng)
            default, right = examine(program, only_chosen)
            kind = next((name for name in TRANSFORMATIONS if program.what.startswith(f"{name} of")), program.family)
            found.by_kind[kind] += 1
            if max(default or 0.0, right or 0.0) > 1:
                found.mismatches.append(Mismatch(seed, number, program.what, default, right))
                bar.write(f"{number}: {program.what}: {default} times the tolerance, {right}", file=sys.stderr)
            number += 1
            bar.update()
            if number % 50 == 0:
                jax.clear_caches()  # frees programs that never run again
    return found


def sweep_in_processes(
    processes: int, seed: int, programs: int | None, minutes: float | None, only_chosen: bool
) -> list[Sweep]:
    """Sweep in several processes, with consecutive seeds from ``seed`` on."""
    if processes == 1:
        return [sweep(seed, programs, minutes, only_chosen)]
    shares = [None if programs is None else len(range(k, programs, processes)) for k in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.starmap(
            functools.partial(sweep, minutes=minutes, only_chosen=only_chosen),
            zip(range(seed, seed + processes), shares, strict=True),
        )


def summary(sweeps: list[Sweep]) -> dict[str, Any]:
    """Return the sums of the results of all processes."""
    mismatches = [mismatch for each in sweeps for mismatch in each.mismatches]
    by_kind = sum((each.by_kind for each in sweeps), collections.Counter())
    wrong = (found.default if found.with_right_options is None else found.with_right_options for found in mismatches)
    return {
        "programs": by_kind.total(),
        "seeds": [each.seed for each in sweeps],
        "by_kind": dict(sorted(by_kind.items())),
        "float64_is_miscompiled": any(each.float64_is_miscompiled for each in sweeps),
        "mismatches_by_default": sum((found.default or 0.0) > 1 for found in mismatches),
        "mismatches": sum((difference or 0.0) > 1 for difference in wrong),
        "details": [dataclasses.asdict(found) for found in mismatches],
    }


def main() -> int:
    """Sweep, print the results, and write the record if ``--out`` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, metavar="N", help="how many (default: 2000, or as --minutes allows)")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after M minutes")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="number of processes (default: 1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the programs (default: 0)")
    parser.add_argument(
        "--only-chosen", action="store_true", help="compile only with the options that the library chooses here"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the record, as JSON")
    arguments = parser.parse_args()
    programs = 2000 if arguments.programs is None and arguments.minutes is None else arguments.programs
    start = time.monotonic()
    found = summary(
        sweep_in_processes(arguments.processes, arguments.seed, programs, arguments.minutes, arguments.only_chosen)
    )
    for kind, count in found["by_kind"].items():
        print(f"{kind:30s} {count:5d}")
    print(
        f"{found['programs']} programs, {found['mismatches']} mismatches, {found['mismatches_by_default']} by default"
    )
    if arguments.out:
        flags = {"XLA_FLAGS": os.environ["XLA_FLAGS"]} if os.environ.get("XLA_FLAGS") else {}
        about = {"processes": arguments.processes, "seconds": round(time.monotonic() - start)}
        write_json(arguments.out, found | about | {"environment": environment() | flags})
    return 1 if found["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main())
