"""Arguments that several commands share, each written once."""

import argparse

from rnnlm_jax.cli.output_files import STANDARD_OUTPUT

Arguments = argparse._ActionsContainer  # a parser, or a group of its arguments

#: Which parameters of a run to read: those of the best validation perplexity, or the newest.
CHECKPOINTS = ("best", "last")


def add_run(parser: Arguments, help: str = "folder of a trained model") -> None:
    """Add ``RUN``."""
    parser.add_argument("run", metavar="RUN", help=help)


def add_data(parser: Arguments) -> None:
    """Add ``--data`` and ``--data-dir``: the text that a trained model is applied to."""
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="a text file, or a split of a corpus such as ptb:test"
    )
    add_data_dir(parser)


def add_data_dir(parser: Arguments) -> None:
    """Add ``--data-dir``."""
    parser.add_argument("--data-dir", metavar="DIR", help="folder that contains ptb/, wikitext-2/ … [$RNNLM_JAX_DATA]")


def add_checkpoint(
    parser: Arguments,
    choices: tuple[str, ...] = CHECKPOINTS,
    help: str = "which checkpoint of a run to read: best on validation text, or last",
) -> None:
    """Add ``--checkpoint``."""
    parser.add_argument("--checkpoint", choices=choices, default="best", help=f"{help} (default: best)")


def add_json(parser: Arguments, help: str = "print the results as one JSON object, on the last line") -> None:
    """Add ``--json``, for a command that only prints JSON; its value is read by ``output_files.write_json``."""
    parser.add_argument("--json", action="store_const", const=STANDARD_OUTPUT, help=help)


def add_json_file(parser: Arguments) -> None:
    """Add ``--json [FILE]``, for a command that prints JSON or writes it to a file."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=STANDARD_OUTPUT,
        metavar="FILE",
        help="print the results as one JSON object, on the last line; or write them to a file whose name ends in .json",
    )


def add_vocabulary_files(parser: Arguments) -> None:
    """Add ``--vocabulary`` and ``--tokenizer``, for a command that takes a vocabulary in place of building one."""
    parser.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="a run's vocabulary.json, or a text with one word per line (default: built from the text)",
    )
    parser.add_argument("--tokenizer", metavar="FILE", help="a tokenizer.json, whose subwords become the vocabulary")
