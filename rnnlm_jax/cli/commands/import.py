"""``rnnlm-jax import``."""

import argparse

from rnnlm_jax.cli.written_files import require_folder_name
from rnnlm_jax.data import read_vocabulary_file
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.exporting import import_run, is_run_file, read_tensors, run_of, torch_run
from rnnlm_jax.jobs.run_folder import Run
from rnnlm_jax.language_model.model import parameter_count
from rnnlm_jax.system import json_text

#: What PyTorch's example calls its recurrent parts.
KINDS = ("RNN_TANH", "RNN_RELU", "LSTM", "GRU")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of importing."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a safetensors file: of rnnlm-jax export, or the state_dict of PyTorch's word_language_model example",
    )
    parser.add_argument(
        "--run", required=True, metavar="RUN", help="folder to write; every command takes it but train --resume"
    )
    parser.add_argument(
        "--vocabulary", metavar="WORDS", help="of PyTorch's model: a vocabulary.json, or a text with one word a line"
    )
    parser.add_argument(
        "--kind", choices=KINDS, help="of PyTorch's model, where weights do not tell RNN_TANH from RNN_RELU"
    )
    parser.add_argument("--json", action="store_true", help="print what was read as one JSON object, the last line")


def main(arguments: argparse.Namespace) -> int:
    """Write the run, and say what it is."""
    require_folder_name(arguments.run, "--run")
    run = _read(arguments)
    model, count = run.config.model, parameter_count(run.params)
    source = {"file": arguments.file, "step": run.position.step, "parameters": count}
    import_run(run, arguments.run, source)
    print(f"{arguments.run}: {model.layers} x {model.cell} {model.hidden_size}, {count:,} parameters")
    print(run.vocabulary.describe())
    print("it is a run for every command but train --resume: there is no state of an optimiser to go on from")
    if arguments.json:
        print(json_text.dumps({"run": arguments.run} | source))
    return 0


def _read(arguments: argparse.Namespace) -> Run:
    """What the file holds, as a run.

    Raises:
        UserError: if it is damaged, or the options are for a file of the other kind.
    """
    arrays, texts = read_tensors(arguments.file)
    if is_run_file(texts):
        for name in ("vocabulary", "kind"):
            if getattr(arguments, name) is not None:
                raise UserError(f"{arguments.file} holds all of a run: leave --{name} out")
        return run_of(arrays, texts, arguments.file)
    if arguments.vocabulary is None:
        raise UserError(
            f"{arguments.file} was not written by rnnlm-jax export: for the weights of PyTorch's word_language_model "
            "add --vocabulary, its words one a line"
        )
    return torch_run(arrays, read_vocabulary_file(arguments.vocabulary), arguments.file, kind=arguments.kind)
