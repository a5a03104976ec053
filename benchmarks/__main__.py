"""Time everything, print the table, record it: ``python -m benchmarks [--repeats N]``."""

import argparse
import dataclasses
import os
import re
import sys
from pathlib import Path

import jax
from tqdm import tqdm

from benchmarks.subjects import LAYER_SHAPES, STEPS, Subject, layers, training_step
from benchmarks.timing import Timing, interleave
from rnnlm_jax.runs import write_json
from rnnlm_jax.training.train import environment

RESULTS = Path(__file__).parent / "results"


def groups() -> list[list[Subject]]:
    """What is timed together, in turn: the layers of one shape; the training steps."""
    return [*(list(layers(shape)) for shape in LAYER_SHAPES), [training_step(name) for name in STEPS]]


def row(subject: Subject, timing: Timing) -> dict:
    """A subject's figures."""
    return {
        "name": subject.name,
        "steps": subject.shape[0],
        "batch": subject.shape[1],
        "hidden": subject.shape[2],
        "tokens_per_second": subject.tokens / timing.median,
        **dataclasses.asdict(timing),
    }


def file_name() -> str:
    """The name of a record: the device's."""
    return f"{re.sub(r'[^a-z0-9]+', '-', jax.devices()[0].device_kind.lower())}.json"


def main(arguments: list[str]) -> int:
    """Time, print, record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="timed calls of each, after the first")
    repeats = parser.parse_args(arguments).repeats
    about = environment() | {"cpu_count": os.cpu_count() or 1, "repeats": repeats}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    rows = []
    print(f"{'':<34} {'T, B, H':>14} {'first s':>8} {'median ms':>10} {'quartiles':>17} {'tokens/s':>10}")
    for group in tqdm(groups(), desc="benchmarks", leave=False):
        timings = interleave({subject.name: subject.run for subject in group}, repeats)
        for subject in group:
            timing = timings[subject.name]
            rows.append(row(subject, timing))
            spread = f"{1e3 * timing.lower:.2f} - {1e3 * timing.upper:.2f}"
            tqdm.write(
                f"{subject.name:<34} {str(subject.shape)[1:-1]:>14} {timing.first:8.2f} {1e3 * timing.median:10.2f} "
                f"{spread:>17} {rows[-1]['tokens_per_second']:10,.0f}"
            )
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / file_name()
    write_json(file, {"environment": about, "rows": rows})
    print(f"recorded in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
