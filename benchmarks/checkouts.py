"""Two checkouts of this project, timed in turn: ``python -m benchmarks.checkouts OTHER [--rounds N] [--only TEXT]``.

Layers forward and backward, training steps and Jacobian spectra, each compiled once in a process of either checkout.
The processes are timed in turn, so that a machine whose speed drifts is fair to both; what is printed is the ratio of
this checkout's median time to that of OTHER, a folder with the other version.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, unroll
from rnnlm_jax.cells import zoo
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jacobians import spectrum
from rnnlm_jax.language_model import language_model
from rnnlm_jax.runs import write_json
from rnnlm_jax.training.step import initial_train_state, make_train_step
from rnnlm_jax.training.train import environment

#: Seconds of calls in one turn of a workload, of which the least is kept.
TURN = 0.4

#: T, B, H.
SHAPES = {"small": (35, 20, 200), "large": (35, 20, 650), "tiny": (20, 4, 16)}

LAYERS = (
    *(("lstm", "native", "small"), ("lstm", "native", "large"), ("lstm", "native", "tiny")),
    *(("lstm", "structured", "small"), ("lstm", "scan", "small"), ("lstm-layer-norm", "structured", "small")),
    *(("lstm-peephole", "structured", "small"), ("gru", "native", "small"), ("gru", "structured", "small")),
    *(("gru-reset-before", "structured", "small"), ("elman-tanh", "native", "small"), ("elman-tanh", "scan", "small")),
)

#: Vocabulary, hidden size and layers of the models whose training step is timed.
MODELS = {"step, V 10,000, H 200, 2 layers": (10_000, 200, 2), "step, V 50, H 16, 1 layer": (50, 16, 1)}

Call = Callable[[], Any]


def layer(name: str, executor: str, shape: str) -> Call:
    """Forward and backward pass of one layer, float32."""
    steps, batch, hidden = SHAPES[shape]
    cell = zoo.make(name, hidden)
    params = cell.init(jax.random.key(0), hidden)
    xs = jax.random.normal(jax.random.key(1), (steps, batch, hidden), jnp.float32)

    def loss(params: Any, xs: Any) -> Any:
        return jnp.square(unroll(cell, params, cell.initial_state((batch,)), xs, executor=executor)[1]).sum()

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(params, xs).compile()
    return lambda: compiled(params, xs)


def training_step(vocabulary: int, hidden: int, layers: int) -> Call:
    """A whole training step by SGD as the trainer calls it, B 20, T 35."""
    steps, batch, _ = SHAPES["small"]
    model = language_model(cells.stack(*[cells.lstm(hidden) for _ in range(layers)]), vocabulary)
    config = OptimizerConfig(optimizer="sgd", learning_rate=0.1, clip_norm=5.0)
    state = [initial_train_state(model, config, batch, seed=0)]
    tokens = np.random.default_rng(0).integers(0, vocabulary, (steps + 1, batch)).astype(np.int32)
    data = Batch(tokens[:-1], tokens[1:], np.ones((steps, batch), bool))
    step, rate = make_train_step(model, config, seed=0, carries_state=True), jnp.float32(0.1)

    def call() -> Any:
        state[0], info = step(state[0], data, rate)
        return info

    return call


def jacobian_spectrum(kind: str, hidden: int, steps: int) -> Call:
    """Every log singular value of a product of step Jacobians, under ``jit``."""
    cell = zoo.make(kind, hidden)
    params = cell.init(jax.random.key(0), hidden)
    xs = jax.random.normal(jax.random.key(1), (steps, hidden), jnp.float32)
    compiled = jax.jit(lambda params, xs: spectrum(cell, params, cell.initial_state(()), xs)).lower(params, xs)
    run = compiled.compile()
    return lambda: run(params, xs)


def workloads() -> dict[str, Callable[[], Call]]:
    """What is timed, by name: functions that compile it."""
    found: dict[str, Callable[[], Call]] = {
        f"{name}, {executor}, {shape}": lambda at=(name, executor, shape): layer(*at)
        for name, executor, shape in LAYERS
    }
    found |= {name: lambda at=sizes: training_step(*at) for name, sizes in MODELS.items()}
    found["spectrum, elman-tanh, n 64, T 100"] = lambda: jacobian_spectrum("elman-tanh", 64, 100)
    found["spectrum, lstm, n 100, T 50"] = lambda: jacobian_spectrum("lstm", 50, 50)
    return found


def serve() -> None:
    """Time each workload that is named on standard input, and print its seconds."""
    compiled: dict[str, Call] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in compiled:
            compiled[name] = workloads()[name]()
            jax.block_until_ready(compiled[name]())
        times, start = [], time.perf_counter()
        while time.perf_counter() - start < TURN:
            before = time.perf_counter()
            jax.block_until_ready(compiled[name]())
            times.append(time.perf_counter() - before)
        print(min(times), flush=True)


class Server:
    """A process that times workloads with one checkout of the library."""

    def __init__(self, checkout: Path):
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", "."],
            env=os.environ | {"PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def time(self, name: str) -> float:
        """Seconds of a workload, the least of one turn."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(name, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


def main() -> int:
    """Time, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a folder with the other version")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each workload (default: 7)")
    parser.add_argument("--only", default="", metavar="TEXT", help="workloads whose name has it (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the record, as JSON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    ours, other = Server(Path(__file__).parents[1]), Server(arguments.other.resolve())
    record: dict[str, Any] = {}
    print(f"{'':44s}{'other ms':>10s}{'ours ms':>10s}{'ratio':>8s}")
    for name in filter(lambda name: arguments.only in name, workloads()):
        times = np.array([[ours.time(name), other.time(name)] for _ in range(arguments.rounds + 1)])[1:]
        mine, theirs = np.median(times, axis=0)
        ratio = float(np.median(times[:, 0] / times[:, 1]))
        record[name] = {"ours": float(mine), "other": float(theirs), "ratio": ratio}
        print(f"{name:44s}{1e3 * theirs:10.3f}{1e3 * mine:10.3f}{ratio:8.3f}", flush=True)
    if arguments.out:
        write_json(arguments.out, {"environment": environment(), "rounds": arguments.rounds, "seconds": record})
    return 0


if __name__ == "__main__":
    sys.exit(main())
