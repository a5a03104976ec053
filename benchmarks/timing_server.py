"""Time programs whose names come on standard input, with the library that is imported; ``checkouts`` starts two."""

import inspect
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timed_programs import Workload, jacobian_spectrum, layer
from rnnlm_jax import cells
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jacobians import product_spectrum
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.training.step import make_train_step
from rnnlm_jax.training.train_state import initial_train_state

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

#: Rows and number of matrices whose product's spectrum is taken.
PRODUCTS = ((6, 60), (12, 1000), (32, 200), (64, 100), (64, 1))


class Program(NamedTuple):
    """Something to time."""

    call: Callable[[], Any]
    memory: int
    """Bytes beside arguments and results; 0 where it is not known."""


def compiled(work: Workload) -> Program:
    """A call of the compiled function."""
    function, arguments = work
    run = jax.jit(function).lower(*arguments).compile()
    about = run.memory_analysis()
    return Program(lambda: run(*arguments), about.temp_size_in_bytes if about else 0)


def spectrum_of_product(n: int, steps: int, certify: bool) -> Workload:
    """Every log singular value of a product of random matrices, in float64.

    A version that knows no other way gives its certificate, or whatever it has, in either case.
    """
    known = "certify" in inspect.signature(product_spectrum).parameters
    options: dict[str, Any] = {"certify": False} if known and not certify else {}
    matrices = np.random.default_rng(0).normal(size=(steps, n, n)) / n**0.5
    return lambda matrices: product_spectrum(matrices, **options), (jnp.asarray(matrices),)


def training_step(vocabulary: int, hidden: int, layers: int) -> Program:
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

    return Program(call, 0)


def programs() -> dict[str, Callable[[], Program]]:
    """What can be timed, by name: functions that compile it."""
    found: dict[str, Callable[[], Program]] = {}
    for name, executor, shape in LAYERS:
        found[f"{name}, {executor}, H {shape[2]}"] = lambda at=(name, executor, shape, "float32"): compiled(layer(*at))
    for vocabulary, hidden, layers in STEPS:
        about = f"step, V {vocabulary:,}, H {hidden}, layers {layers}"
        found[about] = lambda at=(vocabulary, hidden, layers): training_step(*at)
    for name, hidden, steps in SPECTRA:
        about = f"spectrum, {name}, H {hidden}, T {steps}"
        found[about] = lambda at=(name, hidden, steps, "float32"): compiled(jacobian_spectrum(*at))
    for n, steps in PRODUCTS:
        for certify in (True, False):
            about = f"product spectrum, n {n}, T {steps}" + ("" if certify else ", no certificate")
            found[about] = lambda at=(n, steps, certify): in_float64(lambda: compiled(spectrum_of_product(*at)))
    return found


def in_float64(make: Callable[[], Program]) -> Program:
    """A program that is made and called with x64 on."""
    with jax.enable_x64(True):
        made = make()

    def call() -> Any:
        with jax.enable_x64(True):
            return made.call()

    return made._replace(call=call)


def main() -> None:
    """Print the seconds and the bytes of each program that is named."""
    ready: dict[str, Program] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = programs()[name]()
            jax.block_until_ready(ready[name].call())
        times, start = [], time.perf_counter()
        while time.perf_counter() - start < TURN:
            before = time.perf_counter()
            jax.block_until_ready(ready[name].call())
            times.append(time.perf_counter() - before)
        print(min(times), ready[name].memory, flush=True)


if __name__ == "__main__":
    main()
