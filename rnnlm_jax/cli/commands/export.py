"""``rnnlm-jax export``."""

import argparse
from pathlib import Path
from typing import TextIO

from rnnlm_jax.cli.written_files import PRINTED, output_path, require_folder_name, standard_output
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.exporting import PLATFORMS, export_run, save_safetensors
from rnnlm_jax.jobs.run_folder import Run, open_run
from rnnlm_jax.language_model.model import parameter_count
from rnnlm_jax.system import json_text

FORMATS = ("jax", "safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of exporting."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="jax",
        help="jax: a folder with programs of jax.export, parameters and a script that scores, for jax and NumPy alone; "
        "safetensors: one file that holds all of the run, for rnnlm-jax import and others (default: jax)",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="the folder, or the file, to write; -: the file to standard output",
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which one (default: best)")
    parser.add_argument(
        "--platforms",
        metavar="NAMES",
        help=f"what the programs run on: cpu, cuda, rocm, tpu (default: {','.join(PLATFORMS)})",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as one JSON object, the last line")


def main(arguments: argparse.Namespace) -> int:
    """Write the folder or the file, and say what is in it."""
    alone = arguments.format == "safetensors"
    if alone and arguments.platforms is not None:
        raise UserError("--platforms are those of programs, and --format safetensors writes none: leave it out")
    if not alone:
        require_folder_name(arguments.out, "--out")
    elif arguments.out == PRINTED and arguments.json:
        raise UserError("--out - and --json both print: give --out a file")
    run = open_run(arguments.run, arguments.checkpoint)
    with standard_output(arguments.out) as stream:
        _export(run, arguments, stream)
    return 0


def _export(run: Run, arguments: argparse.Namespace, stream: TextIO) -> None:
    out = Path(arguments.out)
    if arguments.format == "safetensors":
        with output_path(arguments.out, stream) as path:
            save_safetensors(run, path)
        figures = {"out": str(out), "format": "safetensors"}
        print(f"{out}: the run as one file; back to a run with rnnlm-jax import {out} --run DIR")
    else:
        given = arguments.platforms
        platforms = PLATFORMS if given is None else tuple(name.strip() for name in given.split(","))
        manifest = export_run(run, out, platforms)
        figures = {"out": str(out), "format": "jax", "platforms": manifest["platforms"]}
        print(f"{out}: for {', '.join(manifest['platforms'])}; score a text with python {out / 'score.py'} FILE")
    count = parameter_count(run.params)
    print(f"{count:,} parameters of step {run.position.step:,}; {run.vocabulary.describe()}")
    if arguments.json:
        print(json_text.dumps({"run": arguments.run, "step": run.position.step, "parameters": count} | figures))
