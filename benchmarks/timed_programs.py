"""Programs that ``benchmarks.checkouts`` and ``benchmarks.compiler_options`` time: layers, training steps, spectra.

They use the public names of the library, so that other versions of it can be timed with them.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, jacobians, unroll

Workload = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments

#: Shapes T, B, H.
SMALL, LARGE, TINY = (35, 20, 200), (35, 20, 650), (20, 4, 16)

#: Cell, executor and shape of each layer.
LAYERS = (
    *(("lstm", "native", SMALL), ("lstm", "native", LARGE), ("lstm", "native", TINY)),
    *(("lstm", "structured", SMALL), ("lstm", "scan", SMALL), ("lstm-layer-norm", "structured", SMALL)),
    *(("lstm-peephole", "structured", SMALL), ("gru", "native", SMALL), ("gru", "structured", SMALL)),
    *(("gru-reset-before", "structured", SMALL), ("elman-tanh", "native", SMALL), ("elman-tanh", "scan", SMALL)),
)

#: Vocabulary, hidden size and number of layers of the models whose training step is timed.
STEPS = ((10_000, 200, 2), (50, 16, 1))

#: Cell, hidden size and number of steps of the Jacobian spectra.
SPECTRA = (("elman-tanh", 64, 100), ("lstm", 50, 50))

#: Number of rows, and of matrices, of the products whose spectrum is computed.
PRODUCTS = ((6, 60), (12, 1000), (32, 200), (64, 100), (64, 1))


class Program(NamedTuple):
    """A program to time."""

    call: Callable[[], Any]
    memory: int
    """Bytes besides arguments and results; 0 if unknown."""


def layer(name: str, executor: str, shape: tuple[int, int, int], *, dtype: str) -> Workload:
    """Return the gradient of one layer of shape T, B, H."""
    _, batch, hidden = shape
    cell = cells.make(name, hidden, param_dtype=dtype)
    params, xs = cell.init(jax.random.key(0), hidden), jax.random.normal(jax.random.key(1), shape, dtype)

    def loss(params: Any, xs: Any) -> Any:
        return jnp.square(unroll(cell, params, cell.initial_state((batch,)), xs, executor=executor)[1]).sum()

    return jax.grad(loss, argnums=(0, 1)), (params, xs)


def jacobian_spectrum(name: str, hidden: int, steps: int, *, dtype: str) -> Workload:
    """Return the log singular values of a cell's product of step Jacobians."""
    cell = cells.make(name, hidden, param_dtype=dtype)
    params, xs = cell.init(jax.random.key(0), hidden), jax.random.normal(jax.random.key(1), (steps, hidden), dtype)
    return lambda params, xs: jacobians.spectrum(cell, params, cell.initial_state(()), xs), (params, xs)


def spectrum_of_product(n: int, steps: int, certify: bool) -> Workload:
    """Return the log singular values of a product of random float64 matrices.

    A version without the option ``certify`` computes the same, with or without error bounds, in either case.
    """
    has_option = "certify" in inspect.signature(jacobians.product_spectrum).parameters
    options: dict[str, Any] = {"certify": False} if has_option and not certify else {}
    matrices = np.random.default_rng(0).normal(size=(steps, n, n)) / n**0.5
    return lambda matrices: jacobians.product_spectrum(matrices, **options), (jnp.asarray(matrices),)


def training_step(vocabulary: int, hidden: int, layers: int) -> Program:
    """Return a whole training step by SGD, as the trainer calls it, with the state kept from call to call."""
    from rnnlm_jax.config import OptimizerConfig
    from rnnlm_jax.data import Batch
    from rnnlm_jax.language_model.model import language_model
    from rnnlm_jax.training.step import make_train_step
    from rnnlm_jax.training.train_state import initial_train_state

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


def compiled(work: Workload) -> Program:
    """Compile a workload."""
    function, arguments = work
    run = jax.jit(function).lower(*arguments).compile()
    about = run.memory_analysis()
    return Program(lambda: run(*arguments), about.temp_size_in_bytes if about else 0)


def in_float64(make: Callable[[], Program]) -> Program:
    """Make a program, and call it, with x64 on."""
    with jax.enable_x64(True):
        made = make()

    def call() -> Any:
        with jax.enable_x64(True):
            return made.call()

    return made._replace(call=call)


def programs() -> dict[str, Callable[[], Program]]:
    """Return the name of each program, and a function that compiles it."""
    found: dict[str, Callable[[], Program]] = {}
    for name, executor, shape in LAYERS:
        about = f"{name}, {executor}, H {shape[2]}"
        found[about] = lambda at=(name, executor, shape): compiled(layer(*at, dtype="float32"))
    for vocabulary, hidden, layers in STEPS:
        about = f"step, V {vocabulary:,}, H {hidden}, layers {layers}"
        found[about] = lambda at=(vocabulary, hidden, layers): training_step(*at)
    for name, hidden, steps in SPECTRA:
        about = f"spectrum, {name}, H {hidden}, T {steps}"
        found[about] = lambda at=(name, hidden, steps): compiled(jacobian_spectrum(*at, dtype="float32"))
    for n, steps in PRODUCTS:
        for certify in (True, False):
            about = f"product spectrum, n {n}, T {steps}" + ("" if certify else ", no certificate")
            found[about] = lambda at=(n, steps, certify): in_float64(lambda: compiled(spectrum_of_product(*at)))
    return found
