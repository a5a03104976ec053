"""``rnnlm-jax ngram train --model snm``: sparse non-negative matrices."""

import argparse

from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.ngrams import snm
from rnnlm_jax.system.progress import token_bar


def add_snm_options(parser: argparse.ArgumentParser) -> None:
    """The options that only a sparse non-negative matrix has."""
    group = parser.add_argument_group("with --model snm")
    group.add_argument("--skip-grams", action="store_true", help="features that skip words too")
    group.add_argument(
        "--lexical", action="store_true", help="meta-features that name words and features too (default: counts alone)"
    )
    group.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"passes over it; 0: no adjustment (default: {snm.Adjustment().epochs})",
    )


def check_snm_options(arguments: argparse.Namespace) -> None:
    """Check the options before there is a text.

    Raises:
        UserError: if one cannot be.
    """
    if arguments.skip_grams:
        snm.skip_types(arguments.order)
    _adjustment(arguments)


def train_snm(arguments: argparse.Namespace, text: EncodedText, vocabulary: Vocabulary) -> snm.SnmModel:
    """Count features of the text and learn their adjustment."""
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
