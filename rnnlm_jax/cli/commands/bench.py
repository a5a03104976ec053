"""``rnnlm-jax bench``: time cells, training steps and inference beside other libraries."""

import argparse
import os
import re
from pathlib import Path

import jax

from rnnlm_jax import plotting
from rnnlm_jax.benchmarking.layers import Shape
from rnnlm_jax.benchmarking.measure.agreement import TOLERANCES
from rnnlm_jax.benchmarking.peers import PEERS
from rnnlm_jax.benchmarking.run import GROUPS, Options, model_names, run
from rnnlm_jax.cli.output_files import STANDARD_OUTPUT
from rnnlm_jax.errors import ConfigError

FOLDER = Path("benchmarks/results")

EXAMPLES = """\
  rnnlm-jax bench --what layers --cells lstm --shapes 35x20x200 --peers torch,flax-linen
  rnnlm-jax bench --what steps --models small --repeats 31 --memory"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the benchmark."""
    parser.add_argument(
        "--what", type=_names, default=GROUPS, metavar="NAME,…", help=f"from {', '.join(GROUPS)} (default: all)"
    )
    parser.add_argument(
        "--peers",
        type=_peers,
        default="all",
        metavar="NAME,…",
        help=f"other libraries, from {', '.join(PEERS)}; or all, or none (default: all)",
    )
    parser.add_argument(
        "--cells", type=_names, metavar="NAME,…", help="names of cells (default: lstm, gru and elman-tanh)"
    )
    parser.add_argument(
        "--shapes", type=_shapes, metavar="TxBxH,…", help="steps, sequences and units of layers, such as 35x20x200"
    )
    parser.add_argument(
        "--models",
        type=_names,
        metavar="NAME,…",
        help=f"models of the training steps, from {', '.join(model_names())} (default: all)",
    )
    parser.add_argument(
        "--dtype", choices=tuple(TOLERANCES), default="float32", help="dtype of the matrix products (default: float32)"
    )
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="timed calls of each (default: 15)")
    parser.add_argument(
        "--memory", action="store_true", help="also measure torch's peak memory, each case in a process of its own"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"JSON file to write, with a PNG figure beside it (default: {FOLDER}/DEVICE.json)",
    )


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split(","))


def _peers(words: str) -> tuple[str, ...]:
    return {"all": tuple(PEERS), "none": ()}.get(words, _names(words))


def _shapes(words: str) -> tuple[Shape, ...]:
    found = [re.fullmatch(r"(\d+)x(\d+)x(\d+)", word) for word in words.split(",")]
    shapes = [Shape(*map(int, match.groups())) for match in found if match]
    if len(shapes) < len(found) or not all(map(all, shapes)):
        raise argparse.ArgumentTypeError(f"{words!r} is not steps x sequences x units, as in 35x20x200,256x1x256")
    return tuple(shapes)


def main(arguments: argparse.Namespace) -> int:
    """Measure, print a table, write the record and draw its figure."""
    if str(arguments.out) == STANDARD_OUTPUT:
        raise ConfigError(
            f"--out {STANDARD_OUTPUT}: that is standard output, and a figure is written beside this file: give its name"
        )
    options = Options(
        what=arguments.what,
        peers=arguments.peers,
        cells=arguments.cells,
        shapes=arguments.shapes,
        models=arguments.models,
        dtype=arguments.dtype,
        repeats=arguments.repeats,
        memory=arguments.memory,
    )
    # Other libraries need memory of the GPU too; JAX reads this variable when it first uses the device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    out = arguments.out or FOLDER / record_name()
    record = run(options, out)
    print(f"recorded in {out}")
    if plotting.benchmark(record, out.with_suffix(".png")):
        print(f"drawn in {out.with_suffix('.png')}")
    return 0


def record_name() -> str:
    """Return the file name of this device's record."""
    return f"{re.sub(r'[^a-z0-9]+', '-', jax.devices()[0].device_kind.lower())}.json"
