"""Options of sparse non-negative matrix models: ``rnnlm-jax ngram train --model snm``."""

import argparse

from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.ngrams import snm
from rnnlm_jax.system.progress import token_bar


def add_snm_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only a sparse non-negative matrix model has."""
    group = parser.add_argument_group("with --model snm")
    group.add_argument("--skip-grams", action="store_true", help="also use features that skip words")
    group.add_argument(
        "--lexical",
        action="store_true",
        help="also use meta-features of the words and features themselves (default: of counts only)",
    )
    group.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"passes that train the adjustment; 0: none (default: {snm.Adjustment().epochs})",
    )


def check_snm_options(arguments: argparse.Namespace) -> None:
    """Check the options before the text is read.

    Raises:
        ConfigError: if one is impossible.
    """
    if arguments.skip_grams:
        snm.skip_types(arguments.order)
    _adjustment(arguments)


def train_snm(arguments: argparse.Namespace, text: EncodedText, vocabulary: Vocabulary) -> snm.SnmModel:
    """Count the features of the text and train their adjustment."""
    types = snm.ngram_types(arguments.order)
    if arguments.skip_grams:
        types += snm.skip_types(arguments.order)
    adjustment = _adjustment(arguments)
    held_out = None
    if arguments.held_out is not None:
        held_out = encode_text(arguments.held_out, vocabulary, arguments.data_dir)
    with token_bar("training", snm.progress_total(text, types, adjustment=adjustment, held_out=held_out)) as bar:
        return snm.train(text, vocabulary, types, adjustment=adjustment, held_out=held_out, progress=bar.update)


def _adjustment(arguments: argparse.Namespace) -> snm.Adjustment:
    epochs = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    return snm.Adjustment(lexical=arguments.lexical, **epochs)
