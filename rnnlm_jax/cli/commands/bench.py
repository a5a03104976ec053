"""``rnnlm-jax bench``."""

import argparse
import os
import re
from pathlib import Path

import jax

from rnnlm_jax import plotting
from rnnlm_jax.benchmarking.layers import Shape
from rnnlm_jax.benchmarking.lm_cases import STEPS
from rnnlm_jax.benchmarking.measure.compare import TOLERANCES
from rnnlm_jax.benchmarking.peers import PEERS
from rnnlm_jax.benchmarking.run import GROUPS, Options, run
from rnnlm_jax.cli.written_files import PRINTED
from rnnlm_jax.errors import UserError

FOLDER = Path("benchmarks/results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the benchmark."""
    parser.add_argument("--what", type=_names, default=GROUPS, metavar="NAME,…", help=f"of {', '.join(GROUPS)}; all")
    parser.add_argument(
        "--peers", type=_peers, default="all", metavar="NAME,…", help=f"all, none, or of {', '.join(PEERS)}"
    )
    parser.add_argument(
        "--cells", type=_names, metavar="NAME,…", help="cells of the zoo (default: lstm, gru and elman-tanh)"
    )
    parser.add_argument(
        "--shapes", type=_shapes, metavar="TxBxH,…", help="steps, sequences and units of layers, as in 35x20x200"
    )
    parser.add_argument(
        "--models", type=_names, metavar="NAME,…", help=f"training steps, of {', '.join(case.name for case in STEPS)}"
    )
    parser.add_argument(
        "--dtype", choices=tuple(TOLERANCES), default="float32", help="of the matrix products (default: float32)"
    )
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="timed calls of each (default: 15)")
    parser.add_argument("--memory", action="store_true", help="measure torch's peak memory too, in a process a subject")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"JSON to write, a PNG beside it (default: {FOLDER}/DEVICE.json)"
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
    """Measure, print, record, draw."""
    if str(arguments.out) == PRINTED:
        raise UserError(f"--out {PRINTED}: that is standard output, and a figure goes beside this file: give its name")
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
    # Other libraries need the GPU's memory as well; it is read when JAX first asks for the device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    out = arguments.out or FOLDER / file_name()
    record = run(options, out)
    print(f"recorded in {out}")
    if plotting.benchmark(record, out.with_suffix(".png")):
        print(f"drawn in {out.with_suffix('.png')}")
    return 0


def file_name() -> str:
    """The name of a record: the device's."""
    return f"{re.sub(r'[^a-z0-9]+', '-', jax.devices()[0].device_kind.lower())}.json"
