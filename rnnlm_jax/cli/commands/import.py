"""``rnnlm-jax import``: make a run from a safetensors file."""

import argparse

from rnnlm_jax.cli.common_arguments import add_json
from rnnlm_jax.cli.output_files import require_folder_name, write_json
from rnnlm_jax.data import read_vocabulary_file
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.interop.exporting import import_run, is_run_file, read_tensors, run_of, torch_run
from rnnlm_jax.jobs.run_folder import Run
from rnnlm_jax.language_model.parameters import parameter_count

#: Names of the recurrent layers in PyTorch's example.
KINDS = ("RNN_TANH", "RNN_RELU", "LSTM", "GRU")

EXAMPLES = """\
  rnnlm-jax import demo.safetensors --run runs/demo
  rnnlm-jax import model.safetensors --vocabulary words.txt --run runs/torch"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of importing."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a safetensors file: from rnnlm-jax export, or the state_dict of PyTorch's word_language_model example",
    )
    parser.add_argument(
        "--run", required=True, metavar="RUN", help="folder to write; for every command except train --resume"
    )
    parser.add_argument(
        "--vocabulary",
        metavar="WORDS",
        help="vocabulary of a PyTorch model: a vocabulary.json, or a text with one word per line",
    )
    parser.add_argument(
        "--kind", choices=KINDS, help="recurrent layer of a PyTorch model, to distinguish RNN_TANH from RNN_RELU"
    )
    add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Write the run, and print its sizes."""
    require_folder_name(arguments.run, "--run")
    run = _read(arguments)
    model, count = run.config.model, parameter_count(run.params)
    source = {"file": arguments.file, "step": run.position.step, "parameters": count}
    import_run(run, arguments.run, source)
    print(f"{arguments.run}: {model.layers} x {model.cell} {model.hidden_size}, {count:,} parameters")
    print(run.vocabulary.describe())
    print("every command can read this run except train --resume, which needs an optimiser state")
    write_json(arguments.json, {"run": arguments.run} | source)
    return 0


def _read(arguments: argparse.Namespace) -> Run:
    """Return the model in the file, as a run.

    Raises:
        WeightsError: if the file is damaged.
        ConfigError: if the options are for a file of the other kind.
    """
    arrays, texts = read_tensors(arguments.file)
    if is_run_file(texts):
        for name in ("vocabulary", "kind"):
            if getattr(arguments, name) is not None:
                raise ConfigError(f"{arguments.file} contains a whole run: leave --{name} out")
        return run_of(arrays, texts, arguments.file)
    if arguments.vocabulary is None:
        raise ConfigError(
            f"{arguments.file} was not written by rnnlm-jax export: for the weights of PyTorch's word_language_model "
            "add --vocabulary, a file with one word per line"
        )
    return torch_run(arrays, read_vocabulary_file(arguments.vocabulary), arguments.file, kind=arguments.kind)
