"""Time programs whose names come on standard input, with the library that is imported; ``checkouts`` starts two."""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timed_programs import Workload, jacobian_spectrum, layer
from rnnlm_jax import cells
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model import language_model
from rnnlm_jax.training.step import initial_train_state, make_train_step

#: Seconds of calls in one turn of a program, of which the least is kept.
TURN = 0.4

#: T, B, H.
SMALL, LARGE, TINY = (35, 20, 200), (35, 20, 650), (20, 4, 16)

LAYERS = (
    *(("lstm", "native", SMALL), ("lstm", "native", LARGE), ("lstm", "native", TINY)),
    *(("lstm", "structured", SMALL), ("lstm", "scan", SMALL), ("lstm-layer-norm", "structured", SMALL)),
    *(("lstm-peephole", "structured", SMALL), ("gru", "native", SMALL), ("gru", "structured", SMALL)),
    *(("gru-reset-before", "structured", SMALL), ("elman-tanh", "native", SMALL), ("elman-tanh", "scan", SMALL)),
)

#: Vocabulary, hidden size and layers of the models whose training step is timed.
STEPS = ((10_000, 200, 2), (50, 16, 1))

#: Cell, hidden size and steps.
SPECTRA = (("elman-tanh", 64, 100), ("lstm", 50, 50))

Call = Callable[[], Any]


def compiled(work: Workload) -> Call:
    """A call of the compiled function."""
    function, arguments = work
    run = jax.jit(function).lower(*arguments).compile()
    return lambda: run(*arguments)


def training_step(vocabulary: int, hidden: int, layers: int) -> Call:
    """A whole training step by SGD as the trainer calls it, its state carried on."""
    steps, batch, _ = SMALL
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


def programs() -> dict[str, Callable[[], Call]]:
    """What can be timed, by name: functions that compile it."""
    found: dict[str, Callable[[], Call]] = {}
    for name, executor, shape in LAYERS:
        found[f"{name}, {executor}, H {shape[2]}"] = lambda at=(name, executor, shape, "float32"): compiled(layer(*at))
    for vocabulary, hidden, layers in STEPS:
        about = f"step, V {vocabulary:,}, H {hidden}, layers {layers}"
        found[about] = lambda at=(vocabulary, hidden, layers): training_step(*at)
    for name, hidden, steps in SPECTRA:
        about = f"spectrum, {name}, H {hidden}, T {steps}"
        found[about] = lambda at=(name, hidden, steps, "float32"): compiled(jacobian_spectrum(*at))
    return found


def main() -> None:
    """Print the seconds of each program that is named."""
    ready: dict[str, Call] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = programs()[name]()
            jax.block_until_ready(ready[name]())
        times, start = [], time.perf_counter()
        while time.perf_counter() - start < TURN:
            before = time.perf_counter()
            jax.block_until_ready(ready[name]())
            times.append(time.perf_counter() - before)
        print(min(times), flush=True)


if __name__ == "__main__":
    main()
