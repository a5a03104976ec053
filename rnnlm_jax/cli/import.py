"""``rnnlm-jax import``."""

import argparse

from rnnlm_jax import json_text
from rnnlm_jax.exporting import import_run, load_safetensors
from rnnlm_jax.language_model import parameter_count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of importing."""
    parser.add_argument("file", metavar="FILE", help="a safetensors file that rnnlm-jax export wrote")
    parser.add_argument(
        "--run", required=True, metavar="RUN", help="folder to write; every command but train --resume takes it"
    )
    parser.add_argument("--json", action="store_true", help="print what was read as one JSON object, the last line")


def main(arguments: argparse.Namespace) -> int:
    """Write the run, and say what it is."""
    run = load_safetensors(arguments.file)
    source = {"file": arguments.file, "step": run.position.step}
    import_run(run, arguments.run, source)
    model, count = run.config.model, parameter_count(run.params)
    print(f"{arguments.run}: {model.layers} x {model.cell} {model.hidden_size}, {count:,} parameters")
    print(f"{run.vocabulary.describe()}")
    print("ready for eval, score, sample, compare, jacobians and export; not for train --resume: no optimiser is with it")
    if arguments.json:
        print(json_text.dumps({"run": arguments.run, "parameters": count} | source))
    return 0
