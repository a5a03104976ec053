"""The cost of metrics and checkpoints for a small model: ``python -m benchmarks.training_loop [--repeats N]``.

An LSTM of 32 units over 500 words, whose step takes a few ms, is trained for three epochs by the training loop: with a
line of metrics every thousand steps, with one at every step, and with a checkpoint every 50 steps, in turn. The speed
is that of the last two epochs by the clock, everything between two steps included.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

from rnnlm_jax.cli.commands.bench import FOLDER, record_name
from rnnlm_jax.config import Config, replace
from rnnlm_jax.jobs.run_folder import RunFolder, write_json
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.train import train

EPOCHS, LINES = 3, 6000

#: Name of each kind of run -> its settings.
LOOPS = {
    "every 1000 steps": {"log_every": 1000, "checkpoint_every": 1_000_000},
    "a line at every step": {"log_every": 1, "checkpoint_every": 1_000_000},
    "a checkpoint every 50 steps": {"log_every": 1000, "checkpoint_every": 50},
}


def write_text(path: Path) -> None:
    """Write a text of random words, ``LINES`` lines of twenty."""
    words = np.random.default_rng(0).integers(0, 500, (LINES, 20))
    path.write_text("".join(" ".join(f"w{word}" for word in line) + "\n" for line in words))


def config_of(text: Path, **loop: int) -> Config:
    """Return the configuration of a run."""
    return replace(
        Config(),
        data={"corpus": str(text), "batch_size": 20, "bptt": 35},
        model={"cell": "lstm", "hidden_size": 32, "init_scale": 0.1},
        training={"epochs": EPOCHS, **loop},
    )


def tokens_per_second(text: Path, **loop: int) -> float:
    """Train once; return the tokens per second of all epochs but the first, which compiles."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        train(config_of(text, **loop), Path(folder) / "run", quiet=True)
        lines = map(json.loads, RunFolder(Path(folder) / "run").metrics.read_text().splitlines())
        first, *_, last = (line for line in lines if line["kind"] == "validation")
    return (EPOCHS - 1) * last["train_tokens"] / (last["seconds"] - first["seconds"])


def main() -> None:
    """Measure, print the results, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="runs of each kind, in turn (default: 5)")
    repeats = parser.parse_args().repeats
    rates: dict[str, list[float]] = {name: [] for name in LOOPS}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write_text(text)
        for _ in range(repeats):
            for name, loop in LOOPS.items():
                rates[name].append(tokens_per_second(text, **loop))
    medians = {name: statistics.median(of) for name, of in rates.items()}
    first = next(iter(medians.values()))
    for name, rate in medians.items():
        print(f"{name}: {rate:,.0f} tokens/s, {rate / first:.2f} of the first")
    record = {"environment": environment(), "repeats": repeats, "tokens_per_second": rates, "medians": medians}
    write_json(FOLDER / f"training-loop-{record_name()}", record)


if __name__ == "__main__":
    main()
