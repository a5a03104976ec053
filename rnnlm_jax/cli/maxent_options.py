"""Options of maximum entropy models: ``rnnlm-jax ngram train --model maxent``."""

import argparse

from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.ngrams import NgramModel, maxent
from rnnlm_jax.system.progress import token_bar


def add_maxent_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only a maximum entropy model has."""
    defaults = maxent.Priors()
    group = parser.add_argument_group("with --model maxent")
    group.add_argument(
        "--prior-discounts",
        metavar="D,D,…",
        help="subtracted from each count, by order from 2 on; the last applies to all higher orders "
        f"(default: {_joined(defaults.discounts)})",
    )
    group.add_argument(
        "--prior-variances",
        metavar="S,S,…",
        help=f"variances of the prior of the weights, likewise (default: {_joined(defaults.variances)})",
    )


def train_maxent(arguments: argparse.Namespace, text: EncodedText, vocabulary: Vocabulary) -> NgramModel:
    """Train the weights, after choosing the priors if there is a held-out text."""
    priors = read_priors(arguments)
    if arguments.held_out is not None:
        held_out = encode_text(arguments.held_out, vocabulary, arguments.data_dir)
        with token_bar("choosing priors", None) as bar:
            priors = maxent.choose_priors(text, vocabulary, arguments.order, held_out=held_out, progress=bar.update)
    with token_bar("training", None) as bar:
        return maxent.train(text, vocabulary, arguments.order, priors=priors, progress=bar.update)


def read_priors(arguments: argparse.Namespace) -> maxent.Priors:
    """Return the priors from the options.

    Raises:
        ConfigError: if they are not numbers, are impossible, or are given together with ``--held-out``.
    """
    options = {"discounts": arguments.prior_discounts, "variances": arguments.prior_variances}
    given = {name: text for name, text in options.items() if text is not None}
    if given and arguments.held_out is not None:
        raise ConfigError(f"--held-out chooses the priors and --prior-{next(iter(given))} gives them: leave one out")
    return maxent.Priors(**{name: _numbers(name, text) for name, text in given.items()})


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--prior-{name} must be numbers with commas between them, not {text!r}") from None


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
