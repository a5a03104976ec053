"""The cost of Jacobians, relative to that of their parts: ``python -m benchmarks.jacobians [--repeats N]``.

A full spectrum is compared with QR factorisations and products of the same size, and the gradient by lag with a
training step of the same batch; and the memory of the largest singular values of a state of thousands is measured.
"""

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.benchmarking.measure.timing import Timing, interleave
from rnnlm_jax.cli.commands.bench import FOLDER, record_name
from rnnlm_jax.data import Batch
from rnnlm_jax.evaluation.horizons.gradient_decay import norms_function
from rnnlm_jax.jacobians import spectrum, top_singular
from rnnlm_jax.jobs.run_folder import build_model, write_json
from rnnlm_jax.presets import preset
from rnnlm_jax.system import json_text
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.training_program import training_program

#: Hidden units and steps: of the full spectrum, and of the largest singular values.
SPECTRUM, TOP = (200, 100), (2048, 100)

#: Vocabulary size of Penn Treebank.
VOCABULARY = 10_000


def full_spectrum() -> dict[str, Callable[[], Any]]:
    """Return the log spectrum of an LSTM over 100 steps, without bounds, and as many QRs and products, in float64."""
    hidden, steps = SPECTRUM
    with jax.enable_x64(True):
        cell = cells.lstm(hidden, param_dtype="float64")
        params = cell.init(jax.random.key(0), hidden)
        xs = jax.random.normal(jax.random.key(1), (steps, hidden), jnp.float64)
        matrices = jax.random.normal(jax.random.key(2), (steps, 2 * hidden, 2 * hidden), jnp.float64)

        @jax.jit
        def bare(matrices: jax.Array) -> jax.Array:
            def step(q: jax.Array, j: jax.Array) -> tuple[jax.Array, jax.Array]:
                q, r = jnp.linalg.qr(j @ q)
                return q, jnp.diagonal(r)

            return jax.lax.scan(step, jnp.eye(2 * hidden, dtype=jnp.float64), matrices)[1]

        @jax.jit
        def ours(params: Any, xs: jax.Array) -> Any:
            return spectrum(cell, params, cell.initial_state(()), xs, certify=False)

    def in_float64(run: Callable[..., Any], *arguments: Any) -> Any:
        with jax.enable_x64(True):
            return run(*arguments)

    return {
        "bare QR and products": lambda: in_float64(bare, matrices),
        "log singular spectrum": lambda: in_float64(ours, params, xs),
    }


def gradient_by_lag() -> dict[str, Callable[[], Any]]:
    """Return the gradient by lag of the last words' losses, and a training step on the same batch (zaremba/small)."""
    config = preset("zaremba/small")
    model = build_model(config.model, VOCABULARY)
    params = jax.jit(model.init)(jax.random.key(0))
    shape = (config.data.bptt, config.data.batch_size)
    inputs = np.random.default_rng(0).integers(0, VOCABULARY, shape).astype(np.int32)
    run = norms_function(model, 0)
    program = training_program(model, config)
    step, state = program.step, [program.initial_state()]
    batch = Batch(inputs, np.roll(inputs, -1, axis=0), np.ones(shape, bool))

    def training_step() -> Any:
        state[0], info = step(state[0], batch)
        return state[0], info

    return {"training step": training_step, "gradient by lag": lambda: run(params, inputs, inputs[0])}


def largest_values() -> None:
    """Compute the eight largest singular values of an LSTM of 2048 units over 100 steps; print time and memory."""
    hidden, steps = TOP
    cell = cells.lstm(hidden, recurrent_init=jax.nn.initializers.normal(hidden**-0.5))
    params = jax.jit(cell.init, static_argnums=1)(jax.random.key(0), 64)
    xs = jax.random.normal(jax.random.key(1), (steps, 64), jnp.float32)
    run = jax.jit(lambda params, xs: top_singular(cell, params, cell.initial_state(()), xs, k=8, key=jax.random.key(2)))
    timing = interleave({"top": lambda: run(params, xs)}, 1)["top"]
    found = run(params, xs)
    about = {
        "hidden": hidden,
        "steps": steps,
        "first_call_seconds": timing.first,
        "seconds": timing.median,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "log_singular_values": np.asarray(found.log_singular_values).tolist(),
        "largest_residual": float(found.residual.max()),
    }
    print(json_text.dumps(about))


def pair(runs: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, Timing], float]:
    """Time two functions in turn; return their times, and the second's median divided by the first's."""
    timings = interleave(runs, repeats)
    first, second = timings.values()
    return timings, second.median / first.median


def main(arguments: list[str]) -> int:
    """Measure, print the results, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jacobians", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each, after the first")
    parser.add_argument("--largest-values", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.largest_values:
        largest_values()
        return 0
    about = environment() | {"cpu_count": os.cpu_count() or 1, "repeats": options.repeats}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    ratios: dict[str, Any] = {}
    for make in (full_spectrum, gradient_by_lag):
        timings, ratio = pair(make(), options.repeats)
        for name, timing in timings.items():
            spread = f"{1e3 * timing.lower:.0f} - {1e3 * timing.upper:.0f}"
            print(f"{name:<26} {1e3 * timing.median:9.1f} ms  ({spread}), first call {timing.first:.1f} s")
        print(f"{'ratio':<26} {ratio:9.2f}")
        ratios[make.__name__] = {
            "ratio": ratio,
            "timings": {name: dataclasses.asdict(timing) for name, timing in timings.items()},
        }
    # In a process of its own, which has its own peak memory.
    words = [sys.executable, "-m", "benchmarks.jacobians", "--largest-values"]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    ratios["largest_values"] = top = json.loads(printed.splitlines()[-1])
    print(
        f"top 8 of {2 * top['hidden']} singular values over {top['steps']} steps: {top['seconds']:.1f} s, "
        f"peak memory {top['peak_memory_gib']:.2f} GiB, largest residual {top['largest_residual']:.1e}"
    )
    file = FOLDER / f"jacobians-{record_name()}"
    write_json(file, {"environment": about, **ratios})
    print(f"recorded in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
