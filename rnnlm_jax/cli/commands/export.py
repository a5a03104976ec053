"""``rnnlm-jax export``: write a trained model for use without this library."""

import argparse
from pathlib import Path
from typing import TextIO

from rnnlm_jax.cli.common_arguments import add_checkpoint, add_json, add_run
from rnnlm_jax.cli.output_files import STANDARD_OUTPUT, output_path, require_folder_name, standard_output, write_json
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.interop.exporting import PLATFORMS, export_run, save_safetensors
from rnnlm_jax.jobs.run_folder import Run, open_run
from rnnlm_jax.language_model.parameters import parameter_count

FORMATS = ("jax", "safetensors")

EXAMPLES = """\
  rnnlm-jax export runs/demo --out demo && python demo/score.py sentences.txt
  rnnlm-jax export runs/demo --format safetensors --out demo.safetensors"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of exporting."""
    add_run(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="jax",
        help="jax: a folder with programs of jax.export, parameters and a script that scores text, which needs jax and "
        "NumPy only; safetensors: the whole run as one file, for rnnlm-jax import and other programs (default: jax)",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="the folder or file to write; -: the file to standard output",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--platforms",
        metavar="NAMES",
        help=f"platforms of the programs, from cpu, cuda, rocm, tpu (default: {','.join(PLATFORMS)})",
    )
    add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Write the folder or the file, and print a summary."""
    one_file = arguments.format == "safetensors"
    if one_file and arguments.platforms is not None:
        raise ConfigError("--platforms is for programs, and --format safetensors writes none: leave it out")
    if not one_file:
        require_folder_name(arguments.out, "--out")
    elif arguments.out == STANDARD_OUTPUT and arguments.json:
        raise ConfigError("--out - and --json both print to standard output: give --out a file")
    run = open_run(arguments.run, arguments.checkpoint)
    with standard_output(arguments.out) as stream:
        _export(run, arguments, stream)
    return 0


def _export(run: Run, arguments: argparse.Namespace, stream: TextIO) -> None:
    out = Path(arguments.out)
    if arguments.format == "safetensors":
        with output_path(arguments.out, stream) as path:
            save_safetensors(run, path)
        summary = {"out": str(out), "format": "safetensors"}
        print(f"{out}: the run as one file; back to a run with rnnlm-jax import {out} --run DIR")
    else:
        given = arguments.platforms
        platforms = PLATFORMS if given is None else tuple(name.strip() for name in given.split(","))
        manifest = export_run(run, out, platforms)
        summary = {"out": str(out), "format": "jax", "platforms": manifest["platforms"]}
        print(f"{out}: for {', '.join(manifest['platforms'])}; score a text with python {out / 'score.py'} FILE")
    count = parameter_count(run.params)
    print(f"{count:,} parameters of step {run.position.step:,}; {run.vocabulary.describe()}")
    write_json(arguments.json, {"run": arguments.run, "step": run.position.step, "parameters": count} | summary)
