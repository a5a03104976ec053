"""``rnnlm-jax ngram train --model maxent``: maximum entropy models."""

import argparse

from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.ngrams import NgramModel, maxent
from rnnlm_jax.system.progress import token_bar


def add_maxent_options(parser: argparse.ArgumentParser) -> None:
    """The options that only a maximum entropy model has."""
    usual = maxent.Priors()
    group = parser.add_argument_group("with --model maxent")
    group.add_argument(
        "--prior-discounts",
        metavar="D,D,…",
        help="taken off each count, by order from 2 on; the last one stands for the rest "
        f"(default: {_text(usual.discounts)})",
    )
    group.add_argument(
        "--prior-variances",
        metavar="S,S,…",
        help=f"of the weights' prior, by order from 2 on, likewise (default: {_text(usual.variances)})",
    )


def train_maxent(arguments: argparse.Namespace, text: EncodedText, vocabulary: Vocabulary) -> NgramModel:
    """Find the weights, and before that the priors if there is a held-out text."""
    priors = read_priors(arguments)
    if arguments.held_out is not None:
        held_out = encode_text(arguments.held_out, vocabulary, arguments.data_dir)
        with token_bar("choosing priors", None) as bar:
            priors = maxent.choose_priors(text, vocabulary, arguments.order, held_out=held_out, progress=bar.update)
    with token_bar("training", None) as bar:
        return maxent.train(text, vocabulary, arguments.order, priors=priors, progress=bar.update)


def read_priors(arguments: argparse.Namespace) -> maxent.Priors:
    """The priors that were given.

    Raises:
        UserError: if they are no numbers, cannot be, or are to be chosen as well.
    """
    given = {"discounts": arguments.prior_discounts, "variances": arguments.prior_variances}
    told = {name: text for name, text in given.items() if text is not None}
    if told and arguments.held_out is not None:
        raise UserError(f"--held-out chooses the priors and --prior-{next(iter(told))} gives them: leave one out")
    return maxent.Priors(**{name: _numbers(name, text) for name, text in told.items()})


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--prior-{name} must be numbers with commas between them, not {text!r}") from None


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
