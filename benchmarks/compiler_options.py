"""The cost of compiler options that make float64 right: ``python -m benchmarks.compiler_options [--repeats N]``.

Layers by executor, the gradient of a language model's loss, and a Jacobian spectrum are compiled with default options
and with each option that avoids the fault of ``rnnlm_jax.compilation.float64_fault``, and timed in turn, in float64 and
float32.
"""

import argparse
import dataclasses
import os
import sys
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.timed_programs import Workload, jacobian_spectrum, layer
from rnnlm_jax import cells
from rnnlm_jax.benchmarking.measure.timing import interleave
from rnnlm_jax.cli.commands.bench import FOLDER, record_name
from rnnlm_jax.compilation import float64_is_miscompiled
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.language_model.loss_gradient import training_loss
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.results import environment

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "vector width 128": {"xla_cpu_prefer_vector_width": 128},
    "vector width 64": {"xla_cpu_prefer_vector_width": 64},
    "no fusion emitters": {"xla_cpu_use_fusion_emitters": False},
    "no optimisation": {"xla_backend_optimization_level": 0},
}

#: Shape T, B, H of the layers.
SHAPE = (35, 20, 200)

LAYERS = (
    ("lstm", "native"),
    ("lstm", "structured"),
    ("lstm", "scan"),
    ("gru", "structured"),
    ("gru-reset-before", "structured"),
    ("lstm-layer-norm", "structured"),
    ("elman-tanh", "structured"),
)


def step(dtype: str) -> Workload:
    """Return loss and gradient of a two-layer LSTM language model, V = 10,000."""
    steps, batch, hidden = SHAPE
    layers = (cells.lstm(hidden, param_dtype=dtype), cells.lstm(hidden, param_dtype=dtype))
    model = language_model(cells.stack(*layers), 10_000)
    tokens = jax.random.randint(jax.random.key(0), (steps + 1, batch), 0, 10_000, jnp.int32)
    data = Batch(tokens[:-1], tokens[1:], jnp.ones((steps, batch), bool))

    def loss(params: Any) -> Any:
        return training_loss(model, params, model.initial_state((batch,)), data, None)[0]

    return jax.value_and_grad(loss), (model.init(jax.random.key(0)),)


def workloads(dtype: str) -> dict[str, Workload]:
    """Return the functions to time, by name."""
    layers = {f"{name}, {executor}": layer(name, executor, SHAPE, dtype=dtype) for name, executor in LAYERS}
    return layers | {"step": step(dtype), "spectrum": jacobian_spectrum("lstm", 50, 50, dtype=dtype)}


def measure(work: Workload, repeats: int) -> dict[str, dict[str, float]]:
    """Time one workload with each option that this jaxlib has."""
    function, arguments = work
    runs = {}
    for name, options in OPTIONS.items():
        try:
            compiled = jax.jit(function, compiler_options=options).lower(*arguments).compile()
        except jax.errors.JaxRuntimeError as error:
            if "No such" not in str(error):  # jaxlib 0.11 has no such option
                raise
            continue
        runs[name] = lambda compiled=compiled: compiled(*arguments)
    return {name: dataclasses.asdict(timing) for name, timing in interleave(runs, repeats).items()}


def main(arguments: list[str]) -> int:
    """Time the workloads, print the table, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiler_options", description=__doc__)
    parser.add_argument("--repeats", type=int, default=31, help="timed calls of each, after the first (default: 31)")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    about = environment() | {"repeats": options.repeats, "float64_is_miscompiled": float64_is_miscompiled()}
    record: dict[str, Any] = {}
    todo = [(dtype, name, work) for dtype in ("float64", "float32") for name, work in workloads(dtype).items()]
    print(f"{'':36s}{'ms':>9s}" + "".join(f"{name:>20s}" for name in list(OPTIONS)[1:]))
    with token_bar("workloads", len(todo), unit="workload") as bar:
        for dtype, name, work in todo:
            times = record.setdefault(dtype, {})[name] = measure(work, options.repeats)
            default = times["default"]["median"]
            ratios = [times[name]["median"] / default if name in times else None for name in list(OPTIONS)[1:]]
            shown = "".join(f"{'-' if ratio is None else format(ratio, '.3f'):>20s}" for ratio in ratios)
            bar.write(f"{dtype} {name:<28s}{1e3 * default:9.2f}{shown}", file=sys.stdout)
            bar.update()
    file = FOLDER / f"compiler-options-{record_name()}"
    write_json(file, {"environment": about | {"cpu_count": os.cpu_count() or 1}, **record})
    print(f"recorded in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
