"""The command ``rnnlm-jax``: subcommands, and what happens to errors."""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from rnnlm_jax.cli import compilation_cache
from rnnlm_jax.cli.failures import report
from rnnlm_jax.cli.options import Parser
from rnnlm_jax.cli.streams import OutputClosedError, guarded_streams, prepare_streams
from rnnlm_jax.jobs.stopping import STOPPED, Stopped, Terminated, terminate_as_interrupt
from rnnlm_jax.system.input_files import keep_piped_inputs
from rnnlm_jax.version import __version__

#: Subcommand and what it does; each is a module of this package with ``add_arguments`` and ``main``.
COMMANDS = {
    "train": "train a language model on a text, and measure it",
    "eval": "perplexity of a trained model on a text",
    "compare": "a table of models on one text: perplexity, size and speed; mixtures, a cache, dynamic evaluation",
    "score": "nats of each sentence and token of a text",
    "rescore": "choose among the hypotheses of n-best lists; weights tuned for word errors",
    "sample": "draw text from a trained model",
    "export": "a trained model as a folder that needs jax and NumPy only, or as one safetensors file",
    "import": "a run from a safetensors file: one of ours, or a PyTorch word language model",
    "ngram": "train and measure Kneser-Ney n-gram models; ARPA files",
    "jacobians": "how far back gradients and information reach in trained models, and their Jacobians' spectra",
    "aot": "compile a training step for a TPU that is not there: memory, collectives, whether it fits",
    "bench": "time cells, training steps and inference on this machine, beside other libraries",
    "build-kernels": "compile the native kernels of all dtypes into the cache, as for a container image",
}

#: Commands that time compilation, and so find nothing compiled, or that compile nothing.
UNCACHED = {"aot", "bench", "build-kernels", "ngram"}

INTERRUPTED = "interrupted; a training run goes on from its last checkpoint with --resume"

DESCRIPTION = """\
Recurrent language models in JAX.

  rnnlm-jax train --run runs/demo                         the demo: an LSTM on Python's own reference
  rnnlm-jax train zaremba/small --run runs/small          a published experiment, by name
  rnnlm-jax train --data my.txt --cell gru --run runs/g   your own text
  rnnlm-jax eval runs/demo --data other.txt               its perplexity on another text
  rnnlm-jax compare runs/a kn5 --data ptb:test --mix      models side by side, and their mixture
  rnnlm-jax rescore runs/a --nbest list --out best        the likeliest hypotheses of a recogniser
  rnnlm-jax sample runs/demo --prompt "the"               what it has to say
  rnnlm-jax export runs/demo --out demo                   a folder that scores with jax alone: python demo/score.py
  rnnlm-jax ngram train my.txt --out kn5.model            a Kneser-Ney 5-gram of your text
  rnnlm-jax jacobians runs/demo --data pydoc:test --out o how far back it looks
  rnnlm-jax bench --what layers --cells lstm              what it takes here, beside other libraries
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code.

    0; 2 after an error that the user can mend and 70 after one that is ours, each of one line on standard error; 75 if
    training was stopped by a signal and goes on with --resume; what else was stopped, 130 for SIGINT and 143 for
    SIGTERM. ``RNNLM_JAX_TRACEBACK=1`` shows where an error was raised.
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
            print(
                "rnnlm-jax: interrupted; a training run goes on from its last checkpoint with --resume", file=sys.stderr
            )
            if words[:1] == ["train"]:  # before its first step, or when all is done
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
        with keep_piped_inputs(), compilation_cache.kept_programs(cache):
            code = module.main(parsed)
            sys.stdout.flush()
        return code


def _parse(words: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The module of the subcommand, and its arguments."""
    parser = Parser(prog="rnnlm-jax", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"rnnlm-jax {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules = {}
    # Only the module that is asked for is imported: the others would cost a second of start-up.
    for name, about in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=about, description=about)
        if name in words[:1]:
            modules[name] = importlib.import_module(f"rnnlm_jax.cli.commands.{name.replace('-', '_')}")
            modules[name].add_arguments(subparser)
            if name not in UNCACHED:
                compilation_cache.add_argument(subparser)
    parsed = parser.parse_args(words)
    return modules[parsed.command], parsed


def run() -> None:
    """The entry point of the installed command."""
    prepare_streams()
    sys.exit(main())
