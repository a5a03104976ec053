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


class StepCase(NamedTuple):
    """A model whose training step is timed."""

    vocabulary: int
    hidden: int
    layers: int = 1
    output: str = "softmax"
    optimizer: str = "sgd"

    @property
    def name(self) -> str:
        """The name of the program."""
        what = "" if self.output == "softmax" else f", {self.output}"
        return f"step, V {self.vocabulary:,}, H {self.hidden}, layers {self.layers}{what}, {self.optimizer}"


#: Models whose training step is timed.
STEPS = (
    *(StepCase(10_000, 200, 2, optimizer=optimizer) for optimizer in ("sgd", "momentum", "adam")),
    *(StepCase(10_000, 650, 2, optimizer=optimizer) for optimizer in ("sgd", "adam")),
    *(StepCase(200_000, 200, 1, output, "adagrad") for output in ("importance", "adaptive")),
    *(StepCase(200_000, 200, 1, "adaptive"), StepCase(10_000, 200, 1, "maxent"), StepCase(50, 16)),
)

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


def training_step(case: StepCase) -> Program:
    """Return a whole training step, as the trainer calls it, with the state kept from call to call.

    Versions of the library before decision 051 take the configuration, and the learning rate at each call.
    """
    from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig
    from rnnlm_jax.data import Batch
    from rnnlm_jax.jobs.run_folder import build_model
    from rnnlm_jax.outputs.word_counts import WordCounts
    from rnnlm_jax.training import step as steps_of
    from rnnlm_jax.training import train_state

    steps, batch, _ = SMALL
    options = {"adaptive": (("cutoffs", "2000:20000"),)}.get(case.output, ())
    config = Config(
        data=DataConfig(batch_size=batch, bptt=steps),
        model=ModelConfig(hidden_size=case.hidden, layers=case.layers, output=case.output, output_options=options),
        optimizer=OptimizerConfig(optimizer=case.optimizer, learning_rate=0.01),
    )
    counts = 1e7 / np.arange(1, case.vocabulary + 1)  # Zipf's law
    words = WordCounts(tuple(f"w{k}" for k in range(case.vocabulary)), tuple(int(c) + 1 for c in counts))
    model = build_model(config.model, case.vocabulary, words=words)
    rest: tuple[Any, ...] = ()
    try:
        from rnnlm_jax.training.training_program import training_program

        program = training_program(model, config)
        step, state = program.step, [program.initial_state()]
    except ImportError:
        before: Any = (train_state.initial_train_state, steps_of.make_train_step)
        state = [before[0](model, config.optimizer, batch, seed=0)]
        step, rest = before[1](model, config.optimizer, 0, carries_state=True), (jnp.float32(0.01),)
    tokens = np.random.default_rng(0).zipf(1.2, (steps + 1, batch)) % case.vocabulary
    tokens = tokens.astype(np.int32)
    data = Batch(tokens[:-1], tokens[1:], np.ones((steps, batch), bool))

    def call() -> Any:
        state[0], info = step(state[0], data, *rest)
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
    for case in STEPS:
        found[case.name] = lambda case=case: training_step(case)
    for name, hidden, steps in SPECTRA:
        about = f"spectrum, {name}, H {hidden}, T {steps}"
        found[about] = lambda at=(name, hidden, steps): compiled(jacobian_spectrum(*at, dtype="float32"))
    for n, steps in PRODUCTS:
        for certify in (True, False):
            about = f"product spectrum, n {n}, T {steps}" + ("" if certify else ", no certificate")
            found[about] = lambda at=(n, steps, certify): in_float64(lambda: compiled(spectrum_of_product(*at)))
    return found
