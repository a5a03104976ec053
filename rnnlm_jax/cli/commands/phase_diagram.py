"""``rnnlm-jax phase-diagram``: where random networks become chaotic, by mean-field theory and in simulation."""

import argparse
from pathlib import Path

import numpy as np

from rnnlm_jax.cli.common_arguments import add_json_file
from rnnlm_jax.cli.config_options import parse_pairs
from rnnlm_jax.cli.output_files import check_files, write_json
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jacobians.mean_field.phase_diagram import NEAR_EDGE, PhaseDiagram, phase_diagram
from rnnlm_jax.jacobians.mean_field.random_cells import PARAMETERS, settings_of
from rnnlm_jax.plotting.phases import FIGURES
from rnnlm_jax.plotting.phases import phase_diagram as draw
from rnnlm_jax.system.progress import token_bar

#: Axis -> values that are shown unless others are given.
RANGES = {
    "input_variance": (0.0, 1.0, 6),
    "bias_variance": (0.0, 1.0, 6),
    "forget_bias": (-2.0, 6.0, 9),
    "update_bias": (-2.0, 4.0, 7),
    "reset_bias": (-2.0, 4.0, 7),
}
GAINS = (0.8, 3.0, 12)

EXAMPLES = """\
  rnnlm-jax phase-diagram elman-tanh --out tanh.png
  rnnlm-jax phase-diagram elman-tanh --axis bias_variance --values 0,2,9 --units 500 --json tanh.json
  rnnlm-jax phase-diagram lstm --gains 0.8,3,8 --set bias_variance=0.5 --out lstm.pdf"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the cell, the axes, and the sizes of the simulation."""
    parser.add_argument("cell", choices=tuple(PARAMETERS), metavar="CELL", help=", ".join(PARAMETERS))
    parser.add_argument(
        "--axis",
        type=lambda word: word.replace("-", "_"),
        choices=tuple(RANGES),
        help="parameter beside the gain (default: the first that the cell has of input_variance, forget_bias, "
        "update_bias)",
    )
    parser.add_argument(
        "--gains", type=_range, default=GAINS, metavar="LOW,HIGH,N", help="N gains g (default: 0.8,3,12)"
    )
    parser.add_argument("--values", type=_range, metavar="LOW,HIGH,N", help="N values of the axis (default: by axis)")
    parser.add_argument(
        "--set",
        type=parse_pairs,
        default=(),
        metavar="NAME=VALUE,…",
        help="other parameters of the theory: bias_variance=0.1",
    )
    parser.add_argument("--units", type=int, default=200, metavar="N", help="units of each network (default: 200)")
    parser.add_argument(
        "--steps", type=int, default=400, metavar="N", help="steps to average over, after N/2 more (default: 400)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the networks (default: 0)")
    parser.add_argument("--out", metavar="FILE", help="figure to write: .png, .pdf or .svg")
    add_json_file(parser)


def _range(words: str) -> tuple[float, float, int]:
    try:
        low, high, count = words.split(",")
        found = float(low), float(high), int(count)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is not LOW,HIGH,N: two numbers and a count") from None
    if not np.isfinite(found[:2]).all() or found[0] > found[1] or found[2] < 1:
        raise argparse.ArgumentTypeError(f"{words!r} is not a range: LOW must not be above HIGH, and N at least 1")
    return found


def _points(found: tuple[float, float, int]) -> list[float]:
    low, high, count = found
    return np.linspace(low, high, count).tolist()


def main(arguments: argparse.Namespace) -> int:
    """Compute theory and simulation on the grid, print the exponents, and write the figure."""
    check_files([arguments.out], arguments.json, [])
    if arguments.out is not None and Path(arguments.out).suffix not in FIGURES:
        raise ConfigError(f"--out {arguments.out}: the name of the figure must end in {', '.join(FIGURES)}")
    known = PARAMETERS[arguments.cell]
    axis = arguments.axis or next(iter(known))
    if axis not in known:
        raise ConfigError(f"--axis {axis}: {arguments.cell} has {', '.join(known)}")
    settings = settings_of(arguments.cell, dict(arguments.set))
    if arguments.units < 2 or arguments.steps < 4 or arguments.seed < 0:
        raise ConfigError("--units must be 2 or more, --steps 4 or more, and --seed 0 or more")
    if arguments.gains[0] < 0 or (axis.endswith("variance") and (arguments.values or RANGES[axis])[0] < 0):
        raise ConfigError("--gains and variances must be 0 or more")
    gains, values = _points(arguments.gains), _points(arguments.values or RANGES[axis])
    with token_bar(arguments.cell, len(gains) * len(values), unit="network") as bar:
        found = phase_diagram(
            arguments.cell,
            gains,
            values,
            axis=axis,
            settings=settings,
            units=arguments.units,
            steps=arguments.steps,
            seed=arguments.seed,
            progress=bar.update,
        )
    print_table(found)
    if arguments.out is not None:
        draw(found.summary(), Path(arguments.out))
        print(f"figure: {arguments.out}")
    write_json(arguments.json, found.summary())
    return 0


def print_table(diagram: PhaseDiagram) -> None:
    """Print a row of exponents for each value of the axis, and how often theory and simulation agree."""
    rows = {point.value: [p for p in diagram.points if p.value == point.value] for point in diagram.points}
    others = ", ".join(f"{name} {value:g}" for name, value in diagram.settings.items())
    print(f"{diagram.cell}, {diagram.units} units, {others}; largest Lyapunov exponent, nats a step, at gain")
    print(f"{diagram.axis:>15} " + " ".join(f"{point.gain:7.3g}" for point in next(iter(rows.values()))))
    for value, points in rows.items():
        shown = ("      -" if point.exponent is None else f"{point.exponent:7.3f}" for point in points)
        print(f"{value:15.4g} " + " ".join(shown))
    gains = ", ".join(
        f"{gain:.3f} at {value:.3g}" for value, gain in diagram.critical[:: len(diagram.critical) // 6 or 1] if gain
    )
    print(f"edge of chaos by theory: gain {gains or 'not in the range'}")
    known = [point.agrees for point in diagram.points if point.agrees is not None]
    print(
        f"theory and simulation have the same sign at {sum(known)} of the {len(known)} points where the exponent is "
        f"{NEAR_EDGE} or more from 0"
    )
