"""The cost of writing checkpoints during training: ``python -m benchmarks.checkpoints [--repeats N]``.

The medium model of Zaremba et al. (2014: two LSTM layers of 650 units, 19.8 million parameters) trains in turns of ten
steps, alternately without a checkpoint and with one that is written in the background. The difference is the cost of a
checkpoint; its share is that of a checkpoint every 100 steps.
"""

import argparse
import dataclasses
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnlm_jax.cli.commands.bench import FOLDER, record_name
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import START, build_model, write_json
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.language_model.parameters import parameter_count
from rnnlm_jax.presets import preset
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.train_state import split_state
from rnnlm_jax.training.training_program import training_program

#: Vocabulary size of Penn Treebank; steps of a turn; steps between two checkpoints of a run.
VOCABULARY, TURN, EVERY = 10_000, 10, 100


def cpu_seconds() -> float:
    """Return the processor time of this process, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Run a function; return its wall time and its processor time in seconds."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - wall, cpu_seconds() - cpu


def measure(repeats: int) -> dict[str, Any]:
    """Return medians over ``repeats`` pairs of turns, in seconds, and shares of the time of ``EVERY`` steps."""
    config = preset("zaremba/medium")
    model = build_model(config.model, VOCABULARY)
    shape = (config.data.bptt, config.data.batch_size)
    inputs = np.random.default_rng(0).integers(0, VOCABULARY, shape).astype(np.int32)
    batch = Batch(inputs, np.roll(inputs, -1, axis=0), np.ones(shape, bool))
    program = training_program(model, config)
    step, state = program.step, [program.initial_state()]
    identity = RunIdentity.begin(config, "")
    blocked, number = [], [0]

    def turn() -> None:
        for _ in range(TURN):
            state[0], _info = step(state[0], batch)
        jax.block_until_ready(state[0])

    with tempfile.TemporaryDirectory() as folder:
        checkpoints = CheckpointFolder(Path(folder), keep=2)

        def turn_with_checkpoint() -> None:
            number[0] += 1
            begun = time.perf_counter()
            checkpoints.save(
                split_state(state[0]), dataclasses.replace(START, step=number[0]), identity, background=True
            )
            blocked.append(time.perf_counter() - begun)
            turn()
            checkpoints.wait()

        turn()  # compiles
        turn_with_checkpoint()  # opens the folder
        blocked.clear()
        pairs = [(timed(turn), timed(turn_with_checkpoint)) for _ in range(repeats)]
    without, extra = (
        [statistics.median(values) for values in zip(*rows, strict=True)]
        for rows in ([a for a, _ in pairs], [(b[0] - a[0], b[1] - a[1]) for a, b in pairs])
    )
    return {
        "parameters": parameter_count(state[0].params),
        "step_seconds": without[0] / TURN,
        "step_cpu_seconds": without[1] / TURN,
        "save_blocks_seconds": statistics.median(blocked),
        "save_extra_seconds": extra[0],
        "save_extra_cpu_seconds": extra[1],
        "share_of_time": extra[0] / (without[0] / TURN * EVERY),
        "share_of_cpu_time": extra[1] / (without[1] / TURN * EVERY),
        "every": EVERY,
        "repeats": repeats,
    }


def main() -> None:
    """Measure, print the results, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="pairs of turns (default: 7)")
    figures = measure(parser.parse_args().repeats)
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    about = environment()
    write_json(FOLDER / f"checkpoints-{record_name()}", {"environment": about, **figures})


if __name__ == "__main__":
    main()
