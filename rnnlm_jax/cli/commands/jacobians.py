"""``rnnlm-jax jacobians``: how far back gradients and context reach in trained models."""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm_jax import plotting
from rnnlm_jax.cli.common_arguments import add_checkpoint, add_data, add_json
from rnnlm_jax.cli.output_files import require_folder_name, write_json
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.evaluation.horizons import HorizonOptions, HorizonReport, measure_horizons, require_measurable
from rnnlm_jax.jobs.run_folder import Run, checkpoint_steps, open_run
from rnnlm_jax.system.progress import token_bar

LAGS = "1,2,5,10,20,50,100"

#: Array that a figure needs -> function that draws the figure. A report lacks the eigenvalues of a large state.
FIGURES = {
    "lag": plotting.decay_curves,
    "log_singular_values": plotting.spectra,
    "step_eigenvalues": plotting.eigenvalues,
}

EXAMPLES = """\
  rnnlm-jax jacobians runs/demo --data pydoc:test --out horizons
  rnnlm-jax jacobians runs/lstm runs/elman --data ptb:test --lags 1,2,5,10,50 --positions 100 --out horizons"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the analysis."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of trained models")
    add_data(parser)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder to write: figures, and a folder for each run"
    )
    parser.add_argument("--lags", type=_lags, default=LAGS, metavar="N,N,…", help=f"lags in tokens (default: {LAGS})")
    parser.add_argument(
        "--parts",
        type=lambda word: tuple(word.split(",")),
        metavar="NAME,…",
        help="gradients with respect to these: hidden, cell, inputs (default: all that the cell has)",
    )
    parser.add_argument(
        "--positions",
        type=_count,
        default=400,
        metavar="N",
        help="number of positions of the text to average over (default: 400)",
    )
    parser.add_argument(
        "--sequences",
        type=_count,
        default=3,
        metavar="N",
        help="number of sequences whose spectra are computed; 0: none (default: 3)",
    )
    add_checkpoint(
        parser,
        ("best", "last", "init", "all"),
        "which parameters; init: before training; all: init and every checkpoint of the run",
    )
    parser.add_argument(
        "--format", choices=("png", "pdf", "svg"), default="png", help="format of the figures (default: png)"
    )
    add_json(parser, "print the summaries as one JSON object, on the last line")


def _lags(words: str) -> tuple[int, ...]:
    try:
        lags = sorted({int(word) for word in words.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is not whole numbers with commas between") from None
    if lags[0] < 1:
        raise argparse.ArgumentTypeError(f"a lag counts tokens back and is 1 or more, not {lags[0]}")
    return tuple(lags)


def _count(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number of 0 or more")
    return int(word)


def main(arguments: argparse.Namespace) -> int:
    """Analyse every run, write arrays and figures, and print a table of horizons."""
    if arguments.positions == 0:
        raise ConfigError("--positions must be 1 or more: it is the number of positions to average over")
    require_folder_name(arguments.out, "--out")
    options = HorizonOptions(arguments.lags, arguments.positions, arguments.sequences, arguments.parts)
    out = Path(arguments.out)
    names = [Path(path).resolve().name for path in arguments.runs]
    if len(set(names)) < len(names):
        raise ConfigError(f"two runs have the same name ({', '.join(names)}): each needs a folder of its own in {out}")
    checked = []
    for path in arguments.runs:  # errors of any run are raised before an hour's work on the first
        for name, run in _open(path, arguments.checkpoint):
            text = encode_text(arguments.data, run.vocabulary, arguments.data_dir)
            require_measurable(run, text, options, name=name)
            checked.append(name)
    for name in checked:
        (out / name).mkdir(parents=True, exist_ok=True)  # likewise errors of the folders
    reports: dict[str, HorizonReport] = {}
    for path in arguments.runs:
        for name, run in _open(path, arguments.checkpoint):
            text = encode_text(arguments.data, run.vocabulary, arguments.data_dir)
            make_bar = _progress_bars(name)
            reports[name] = measure_horizons(run, text, options, name=name, data=arguments.data, make_bar=make_bar)
            reports[name].write(out / name)
            for array, draw in FIGURES.items():
                if array in reports[name].arrays:
                    draw(out / name, out / name / f"{draw.__name__}.{arguments.format}")
    if len(reports) > 1:
        figure = out / f"horizons.{arguments.format}"
        plotting.horizons([out / name for name in reports], figure, sequential=len(arguments.runs) == 1)
    print_table(reports, options)
    print(f"arrays, summaries and figures: {out}")
    write_json(arguments.json, {name: report.summary for name, report in reports.items()})
    return 0


def _open(path: str, checkpoint: str) -> Iterator[tuple[str, Run]]:
    """Yield the name and the run to analyse; for ``--checkpoint all``, one for each checkpoint."""
    name = Path(path).resolve().name
    if checkpoint != "all":
        yield name, open_run(path, checkpoint)
        return
    yield f"{name}-step-0", open_run(path, "init")
    for step in checkpoint_steps(path):
        yield f"{name}-step-{step}", open_run(path, "last", step)


def _progress_bars(name: str) -> Any:
    return lambda what, tokens: token_bar(f"{name}: {what}", tokens)


def print_table(reports: dict[str, HorizonReport], options: HorizonOptions) -> None:
    """Print the horizons of all runs, their gradient norms by lag, and their perplexities by length of context."""
    width = max(len("run"), *map(len, reports))
    print(f"{'':{width}}  {'gradient of':>11}  {'horizon':^13}  norm relative to the first lag, at lag")
    print(
        f"{'run':{width}}  {'the loss by':>11}  {'1/e':>6} {'1%':>6}  " + " ".join(f"{lag:>8}" for lag in options.lags)
    )
    for name, report in reports.items():
        for part, found in report.summary["horizons"].items():
            norms = report.summary["relative_norms"][part]
            print(
                f"{name:{width}}  {part:>11}  {_lag(found['1/e'], options):>6} {_lag(found['1%'], options):>6}  "
                + " ".join(f"{norms[str(lag)]:8.2g}" for lag in options.lags)
            )
    contexts = sorted({int(k) for report in reports.values() for k in report.summary["perplexity_by_context"]})
    print(f"\n{'':{width}}  {'context':^13}  perplexity with the last k tokens only, k =")
    print(f"{'run':{width}}  {'to 5%':>6} {'to 1%':>6}  " + " ".join(f"{k:>8}" for k in contexts) + f" {'all':>8}")
    for name, report in reports.items():
        near, by_context = report.summary["context_horizon"], report.summary["perplexity_by_context"]
        cells = " ".join(f"{by_context.get(str(k), math.nan):8.1f}" for k in contexts)
        most = f">{max(contexts)}"
        print(
            f"{name:{width}}  {near['5%'] or most:>6} {near['1%'] or most:>6}  {cells} "
            f"{report.summary['perplexity_full_context']:8.1f}"
        )
        errors = report.summary["perplexity_standard_errors"]
        cells = " ".join(f"{errors.get(str(k), math.nan):8.1f}" for k in contexts)
        full = report.summary["perplexity_full_context_standard_error"]
        print(f"{'':{width}}  {'± s.e.':>13}  {cells} {full:8.1f}")
    for name, report in reports.items():
        if "lyapunov" in report.summary:
            found, trusted = report.summary["lyapunov"], np.array(report.summary["trusted"])
            exponent = f"{found['largest']:+.4f} ± {found['standard_error']:.4f} nats a step"
            if found["long_correlations"]:
                exponent += " (a lower bound of the error: correlations are longer than its blocks; use more text)"
            print(
                f"{name:{width}}  largest Lyapunov exponent {exponent}; {trusted.min()} of "
                f"{report.summary['singular_values']} singular values trusted to 0.01 nats at every lag"
            )


def _lag(value: int | None, options: HorizonOptions) -> str:
    return f">{max(options.lags)}" if value is None else str(value)
