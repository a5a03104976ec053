"""The command ``rnnlm-jax``: its subcommands, and the exit code of each outcome."""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from rnnlm_jax.cli import compilation_cache
from rnnlm_jax.cli.error_messages import errors_with_option_names, report
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.cli.standard_streams import OutputClosedError, guarded_streams, prepare_streams
from rnnlm_jax.jobs.stopping import STOPPED, Stopped, Terminated, terminate_as_interrupt
from rnnlm_jax.system.input_files import keep_piped_inputs
from rnnlm_jax.version import __version__

#: Subcommand -> its description; each is a module of ``commands`` with ``EXAMPLES``, ``add_arguments`` and ``main``.
COMMANDS = {
    "train": "train a language model on a text, and measure its perplexity",
    "eval": "perplexity of a trained model on a text",
    "compare": "table of models on one text: perplexity, size and speed; with mixtures, a cache, dynamic evaluation",
    "score": "negative log-likelihood of each sentence and token of a text, in nats",
    "pairs": "accuracy of models on minimal pairs of sentences, such as subject-verb agreement",
    "rescore": "choose the best hypotheses of n-best lists; tune weights for the fewest word errors",
    "task": "train a model on a synthetic task from several seeds: sequences until solved, errors at other lengths",
    "sample": "generate text from a trained model",
    "export": "write a trained model as a folder that needs only jax and NumPy, or as one safetensors file",
    "import": "make a run of a safetensors file: an exported run, or a PyTorch word language model",
    "ngram": "train and evaluate n-gram models: Kneser-Ney, maximum entropy, sparse matrices; ARPA files",
    "jacobians": "how far back gradients and context reach in trained models, and spectra of their Jacobians",
    "phase-diagram": "where random networks become chaotic, by mean-field theory and in simulation",
    "aot": "compile a training step for a TPU without having one: memory, collectives, whether it fits",
    "bench": "time cells, training steps and inference on this machine, beside other libraries",
    "build-kernels": "compile the native kernels for all dtypes into the cache, as for a container image",
}

#: Commands without a compilation cache: they measure compilation, or compile nothing with jax.
UNCACHED = {"aot", "bench", "build-kernels", "ngram"}

DESCRIPTION = """\
Recurrent language models in JAX.

  rnnlm-jax train --run runs/demo                         train the demo: an LSTM on the reference of Python
  rnnlm-jax train zaremba/small --run runs/small          train a published model, by its preset
  rnnlm-jax train --data my.txt --cell gru --run runs/g   train on your own text
  rnnlm-jax eval runs/demo --data other.txt               measure perplexity on another text
  rnnlm-jax sample runs/demo --prompt "the"               generate text

rnnlm-jax COMMAND --help explains a command, with examples.
"""

INTERRUPTED = "rnnlm-jax: interrupted; a training run goes on from its last checkpoint with --resume"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code.

    The code is 0 on success; 2 after an error that the user can correct, and 70 after a bug, each with a message of one
    line on standard error; 75 if training was stopped by a signal and can go on with ``--resume``; else 130 after
    SIGINT and 143 after SIGTERM. ``RNNLM_JAX_TRACEBACK=1`` prints the traceback of errors.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with guarded_streams():
        try:
            code = _run(words)
            sys.stdout.flush()
            return code
        except Stopped as error:
            print(f"rnnlm-jax: {error}", file=sys.stderr)
            return STOPPED
        except OutputClosedError:
            return 0
        except KeyboardInterrupt as error:
            print(INTERRUPTED, file=sys.stderr)
            if words[:1] == ["train"]:  # before its first step, or after its last
                return STOPPED
            return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        except Exception as error:
            return report(error)


def _run(words: Sequence[str]) -> int:
    """Run one subcommand, or print its help."""
    with terminate_as_interrupt():
        try:
            module, parsed = _parse(words)
        except SystemExit as exit:  # from argparse, after help or a bad option
            return int(exit.code or 0)
        cache = getattr(parsed, "compilation_cache", compilation_cache.OFF)
        with keep_piped_inputs(), compilation_cache.kept_programs(cache), errors_with_option_names(parsed.option_names):
            code = module.main(parsed)
            sys.stdout.flush()
        return code


def _parse(words: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """Return the module of the subcommand and its parsed arguments."""
    parser = Parser(prog="rnnlm-jax", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"rnnlm-jax {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    shows_advanced = any(word.startswith("--help-") for word in words)
    modules = {}
    # Only the module of the given command is imported: the others would add a second to the start.
    for name, about in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", shows_advanced=shows_advanced
        )
        if name in words[:1]:
            modules[name] = importlib.import_module(f"rnnlm_jax.cli.commands.{name.replace('-', '_')}")
            modules[name].add_arguments(subparser)
            if name not in UNCACHED:
                compilation_cache.add_argument(subparser)
            subparser.finish(modules[name].EXAMPLES)
    parser.finish()
    parsed, unknown = parser.parse_known_args(words)
    if unknown:
        subparsers.choices[parsed.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return modules[parsed.command], parsed


def run() -> None:
    """Run the installed command ``rnnlm-jax``."""
    prepare_streams()
    sys.exit(main())
