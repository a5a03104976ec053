"""``rnnlm-jax aot``: compile a training step ahead of time for a TPU slice that this machine does not have."""

from argparse import Namespace
from pathlib import Path

import jax

from rnnlm_jax.cli.common_arguments import add_json
from rnnlm_jax.cli.config_options import add_config_options, apply_options
from rnnlm_jax.cli.config_source import config_from_source, list_presets
from rnnlm_jax.cli.output_files import write_json
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.config import Config, from_json
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.ahead_of_time import compile_step, describe, open_topology, parse_topology, vocabulary_words
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.presets import PRESETS, preset
from rnnlm_jax.system.input_files import BYTE_ORDER_MARK, read_input

EXAMPLES = """\
  rnnlm-jax aot lm1b/lstm-8192 --topology v5e:8x8 --mesh data=8,model=8 --vocabulary-size 793471
  rnnlm-jax aot runs/demo --topology v5e:2x2 --json"""


def add_arguments(parser: Parser) -> None:
    """Add the model, the TPU slice, and every option of the configuration."""
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="a preset (listed below), a run's folder, a config.json, or a Python file with get_config()",
    )
    common = parser.add_argument_group("common options")
    common.add_argument(
        "--topology", required=True, metavar="TPU:CHIPS", help="TPU slice: v5e:4x4, v5p:4x4x4, v6e:8x8, …"
    )
    common.add_argument(
        "--vocabulary-size",
        type=int,
        metavar="V",
        help="number of words, with counts by Zipf's law, in place of the vocabulary of a text",
    )
    add_json(common, "print one JSON object in place of the table")
    add_config_options(parser, common, Config())
    parser.epilog = list_presets(with_descriptions=parser.shows_advanced)


def main(arguments: Namespace) -> int:
    """Compile the step, and print its memory and collectives; return 1 if it does not fit."""
    parse_topology(arguments.topology)
    config, run = _read(arguments.config)
    config = apply_options(config, arguments)
    jax.config.update("jax_platforms", "cpu")  # devices of this machine are not used
    words = vocabulary_words(config.data, arguments.vocabulary_size, run)
    report = compile_step(arguments.config, config, words, topology=open_topology(arguments.topology))
    if arguments.json:
        write_json(arguments.json, report.summary())
    else:
        print(describe(report))
    return 0 if report.fits else 1


def _read(name: str) -> tuple[Config, Path | None]:
    """Return the configuration of that name, and the run's folder if it is one."""
    if name in PRESETS:
        return preset(name), None
    path = Path(name)
    file = path / "config.json" if path.is_dir() else path
    if not file.exists():
        raise ConfigError(
            f"{name} is not a preset, a run's folder or a file: choose one of {', '.join(PRESETS)}, or check the path"
        )
    content = read_input(file, "configuration")
    if not (file.suffix == ".json" or content.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{")):
        return config_from_source(content, name), None
    config = from_json(content, str(file))
    folder = RunFolder(file.parent)
    return config, file.parent if file == folder.config and folder.vocabulary.is_file() else None
