"""``rnnlm-jax aot``."""

import argparse
from pathlib import Path

import jax

from rnnlm_jax.cli.options import add_config_options, apply_options, config_of_source
from rnnlm_jax.config import Config, from_json
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.ahead_of_time import compile_step, describe, open_topology, parse_topology, vocabulary_words
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.presets import PRESETS, preset
from rnnlm_jax.system import json_text
from rnnlm_jax.system.input_files import BYTE_ORDER_MARK, read_input


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is compiled, for what; every option of the configuration besides."""
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help=f"a preset ({', '.join(PRESETS)}), a run's folder, a config.json, or a Python file with get_config()",
    )
    parser.add_argument("--topology", required=True, metavar="TPU:CHIPS", help="v5e:4x4, v5p:4x4x4, v6e:8x8, …")
    parser.add_argument(
        "--vocabulary-size", type=int, metavar="V", help="words, counted by Zipf's law, in place of a text's own"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    add_config_options(parser, Config())


def main(arguments: argparse.Namespace) -> int:
    """Compile, and print what it takes; 1 if it does not fit."""
    parse_topology(arguments.topology)
    config, run = _read(arguments.config)
    config = apply_options(config, arguments)
    jax.config.update("jax_platforms", "cpu")  # whatever this machine has, it is not compiled for
    words = vocabulary_words(config.data, arguments.vocabulary_size, run)
    report = compile_step(arguments.config, config, words, topology=open_topology(arguments.topology))
    print(json_text.dumps(report.summary()) if arguments.json else describe(report))
    return 0 if report.fits else 1


def _read(name: str) -> tuple[Config, Path | None]:
    """The configuration of that name, and the run's folder if it is one."""
    if name in PRESETS:
        return preset(name), None
    path = Path(name)
    file = path / "config.json" if path.is_dir() else path
    if not file.exists():
        raise UserError(
            f"{name} is no preset, no run's folder and no file: choose one of {', '.join(PRESETS)}, or check the path"
        )
    content = read_input(file, "configuration")
    if not (file.suffix == ".json" or content.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{")):
        return config_of_source(content, name), None
    config = from_json(content, str(file))
    folder = RunFolder(file.parent)
    return config, file.parent if file == folder.config and folder.vocabulary.is_file() else None
