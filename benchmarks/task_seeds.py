"""The cost of five seeds of a sequence model beside that of one: ``python -m benchmarks.task_seeds [--repeats N]``.

Both train blocks of 100 steps in turn, as ``rnnlm-jax task --seeds`` does.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax import cells, tasks
from rnnlm_jax.benchmarking.measure.timing import interleave
from rnnlm_jax.cli.commands.bench import FOLDER, record_name
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.sequence_model import SequenceTraining, TaskBatches, model_for
from rnnlm_jax.sequence_model.program import make_program, seed_numbers
from rnnlm_jax.sequence_model.train import BLOCK
from rnnlm_jax.system.cores import usable_cores
from rnnlm_jax.training.make_optimizer import make_optimizer
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.schedules import Length

#: Numbers of seeds that are compared.
ONE, SEVERAL = 1, 5


class Case(NamedTuple):
    """A training."""

    task: str
    cell: str
    hidden_size: int
    length: int
    batch_size: int

    @property
    def name(self) -> str:
        """All sizes in words."""
        return f"{self.task}, {self.cell} of {self.hidden_size} units, T = {self.length}, B = {self.batch_size}"


CASES = (
    Case("pascanu-temporal-order", "elman-tanh", 50, 100, 20),
    Case("adding", "lstm", 16, 100, 32),
    Case("parity", "gru", 64, 40, 32),
    Case("copy-memory", "lstm", 128, 50, 32),
)


def blocks(case: Case, seeds: int) -> Callable[[], Any]:
    """Return a function that trains a block of steps, from where the last call ended."""
    task = tasks.make(case.task)
    numbers = range(seeds)
    batches = TaskBatches(task, case.batch_size, case.length)
    optimizer = make_optimizer(SequenceTraining().optimizer_config(), Length.of_equal_epochs(1000, 1000)).transform
    model = model_for(task, cells.make(case.cell, case.hidden_size))
    program = make_program(model, task, batches, seeds=numbers, optimizer=optimizer, regularizers=(), init=None)
    state, steps = [program.init()], jnp.arange(BLOCK, dtype=jnp.int32)
    items = jax.tree.map(jnp.asarray, batches.items(0, BLOCK, numbers))

    def block() -> Any:
        state[0] = program.block(state[0], seed_numbers(numbers), batches.arrays, steps, items)
        return state[0]

    return block


def main(arguments: list[str]) -> int:
    """Measure, print the results, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_seeds", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each, after the first")
    options = parser.parse_args(arguments)
    about = environment() | {"cores": usable_cores(), "repeats": options.repeats}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    found = []
    for case in CASES:
        runs = {str(seeds): blocks(case, seeds) for seeds in (ONE, SEVERAL)}
        timings = interleave(runs, options.repeats)
        one, several = (timings[name].median for name in runs)
        print(f"{case.name}: {1e3 * one / BLOCK:.2f} ms a step, {SEVERAL} seeds {several / one:.2f} times as long")
        each = {name: dataclasses.asdict(timing) for name, timing in timings.items()}
        found.append({**case._asdict(), "steps": BLOCK, "ratio": several / one, "timings": each})
    file = FOLDER / f"task-seeds-{record_name()}"
    write_json(file, {"environment": about, "cases": found})
    print(f"recorded in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
