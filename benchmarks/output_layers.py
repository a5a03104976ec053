"""The cost of output layers by vocabulary size: ``python -m benchmarks.output_layers [--repeats N]``.

Each layer's training loss with all its gradients, and a whole training step of an LSTM with it, are timed at several
vocabulary sizes, with targets drawn by Zipf's law. Layers are timed in turn, in one process.
"""

import argparse
import dataclasses
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax import cells, outputs
from rnnlm_jax.benchmarking.measure.timing import Timing, interleave
from rnnlm_jax.benchmarking.record_environment import record_environment
from rnnlm_jax.cli.commands.bench import FOLDER, record_name
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.automatic_cutoffs import resolve_cutoffs
from rnnlm_jax.outputs.product_cost import ProductCost, measure_cost
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.step import make_train_step
from rnnlm_jax.training.train_state import initial_train_state

#: Line of the table -> the layer's name and options. Times of the others are compared with the first.
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "softmax": ("softmax", {}),
    "mixture of 15 softmaxes": ("mixture-of-softmaxes", {"components": 15}),
    "class-factorised": ("class", {}),
    "hierarchical": ("hierarchical", {}),
    "adaptive": ("adaptive", {}),
    "importance, 1024": ("importance", {"num_samples": 1024}),
    "NCE, 1024": ("nce", {"num_samples": 1024}),
    "BlackOut, 1024": ("blackout", {"num_samples": 1024}),
}

VOCABULARIES = (10_000, 50_000, 200_000)
#: Hidden units; steps and sequences of a batch.
HIDDEN, BATCH_SHAPE = 512, (35, 20)
#: Number of tokens of the text whose expected counts are used.
TEXT = 10**8


def zipf(size: int) -> tuple[WordCounts, np.ndarray]:
    """Return words with counts proportional to 1 / rank, and the tokens ``[T + 1, B]`` of one batch."""
    p = 1 / np.arange(1, size + 1)
    p /= p.sum()
    steps, batch = BATCH_SHAPE
    tokens = np.random.default_rng(0).choice(size, (steps + 1, batch), p=p).astype(np.int32)
    return WordCounts([f"w{v}" for v in range(size)], np.maximum(np.rint(TEXT * p), 1).astype(np.int64)), tokens


def make(line: str, words: WordCounts, cost: ProductCost) -> tuple[outputs.OutputLayer, dict[str, Any]]:
    """Return a layer of the table and its options, cut-offs chosen by measurement included."""
    name, options = LAYERS[line]
    if name == "adaptive":
        rows = BATCH_SHAPE[0] * BATCH_SHAPE[1]
        options = dict(resolve_cutoffs(tuple(options.items()), words, HIDDEN, rows=rows, cost=cost))
    return outputs.make(name, words, **options), options


def loss_and_gradients(layer: outputs.OutputLayer, words: WordCounts, targets: np.ndarray) -> Callable[[], Any]:
    """Return the computation of a batch's loss and its gradients, row-sparse if the layer reads few rows."""
    params = jax.jit(layer.init, static_argnums=(1, 2))(jax.random.key(0), HIDDEN, words.size)
    hs = jax.random.normal(jax.random.key(1), (*targets.shape, HIDDEN), jnp.float32)
    weights = jnp.full(targets.shape, 1 / targets.size, jnp.float32)

    @jax.jit
    def run(params: Any, hs: jax.Array, targets: jax.Array, key: jax.Array) -> Any:
        if layer.by_row is None:
            return jax.value_and_grad(layer.total_nats, (0, 1))(params, hs, targets, weights)
        gathered, ids = layer.by_row.gather(params, targets, key)
        value, (rows, dh) = jax.value_and_grad(layer.by_row.loss, (0, 2))(gathered, ids, hs, targets, weights)
        return value, (layer.by_row.scatter(rows, ids), dh)

    return lambda: run(params, hs, targets, jax.random.key(2))


def training_step(layer: outputs.OutputLayer, words: WordCounts, tokens: np.ndarray) -> Callable[[], Any]:
    """Return a training step of a one-layer LSTM by gradient descent, including the update."""
    model = language_model(cells.lstm(HIDDEN), words.size, output=layer)
    optimizer = optax.chain(optax.clip_by_global_norm(5.0), optax.sgd(0.1))
    step = make_train_step(model, optimizer)
    state = [initial_train_state(model, optimizer, BATCH_SHAPE[1])]
    batch = Batch(tokens[:-1], tokens[1:], np.ones(BATCH_SHAPE, bool))

    def run() -> Any:
        state[0], info = step(state[0], batch)
        return info

    return run


#: Name in the record -> function that prepares what is timed.
MEASURES: dict[str, Callable[[outputs.OutputLayer, WordCounts, np.ndarray], Callable[[], Any]]] = {
    "loss_and_gradients": lambda layer, words, tokens: loss_and_gradients(layer, words, tokens[1:]),
    "training_step": training_step,
}


def measure(size: int, lines: list[str], what: str, *, cost: ProductCost, repeats: int) -> list[dict[str, Any]]:
    """Time the layers at one vocabulary size; print and return one row per layer."""
    words, tokens = zipf(size)
    made = {line: make(line, words, cost) for line in lines}
    timings = interleave({line: MEASURES[what](layer, words, tokens) for line, (layer, _) in made.items()}, repeats)
    first = next(iter(timings.values())).median
    rows = []
    for line, timing in timings.items():
        print(_row(what, size, line, timing, first / timing.median), flush=True)
        times = dataclasses.asdict(timing)
        about = {"measure": what, "vocabulary": size, "layer": line, "options": made[line][1]}
        rows.append(about | times | {f"times_faster_than_{lines[0]}": first / timing.median})
    return rows


def _row(what: str, size: int, line: str, timing: Timing, times: float) -> str:
    spread = f"({1e3 * timing.lower:.1f} - {1e3 * timing.upper:.1f})"
    return f"{what:<19} {size:>8,} {line:<18} {1e3 * timing.median:9.1f} ms {spread:<20} {times:7.1f} x"


def main(arguments: list[str]) -> int:
    """Time the layers, print the table, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.output_layers", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of each, after the first")
    parser.add_argument(
        "--layers", type=lambda s: s.split(";"), default=list(LAYERS), help="lines of the table, with ; between them"
    )
    parser.add_argument("--vocabularies", type=lambda s: [int(v) for v in s.split(",")], default=list(VOCABULARIES))
    parser.add_argument("--what", choices=tuple(MEASURES), nargs="+", default=tuple(MEASURES))
    parser.add_argument(
        "--out", type=Path, default=None, help="the record (default: benchmarks/results/output-layers-DEVICE.json)"
    )
    options = parser.parse_args(arguments)
    about = record_environment((), "float32", options.repeats) | {
        "hidden": HIDDEN,
        "steps": BATCH_SHAPE[0],
        "sequences": BATCH_SHAPE[1],
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    cost = measure_cost()
    rows: list[dict[str, Any]] = []
    for what in options.what:
        for size in options.vocabularies:
            rows += measure(size, options.layers, what, cost=cost, repeats=options.repeats)
            gc.collect()
    file = options.out or FOLDER / f"output-layers-{record_name()}"
    write_json(file, {"environment": about, "product_cost": dataclasses.asdict(cost), "rows": rows})
    print(f"recorded in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
