"""Options of ``rnnlm-jax rescore``, and the checks of their combinations."""

import argparse
import math

from rnnlm_jax.cli.common_arguments import add_checkpoint, add_json_file, add_run
from rnnlm_jax.cli.output_files import check_files
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.evaluation.rescoring import BASES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, in groups."""
    add_run(parser, "folder of a trained model, or file of an n-gram model")
    add_checkpoint(parser)
    lists = parser.add_argument_group("lists")
    lists.add_argument(
        "--nbest",
        required=True,
        metavar="FILE",
        help="one hypothesis per line: id<TAB>score[,score…]<TAB>text; or Moses, id ||| text ||| name= score ||| "
        "total; or JSON lines with id, scores, text; or Kaldi, id-1 text, with --scores",
    )
    lists.add_argument(
        "--scores", action="append", default=[], metavar="FILE", help="scores of a Kaldi list: id-1 score; repeatable"
    )
    lists.add_argument(
        "--score-base", choices=tuple(BASES), default="e", help="base of the list's logarithms (default: e)"
    )
    lists.add_argument("--costs", action="store_true", help="the list's scores are costs: lower is better")
    lists.add_argument(
        "--references",
        action="append",
        default=[],
        metavar="FILE",
        help="correct texts, id<TAB>text: measure word error rates; repeatable",
    )
    weights = parser.add_argument_group("weights", "total = Σ weight · score + X · log P(text) + Y · words, in nats")
    weights.add_argument(
        "--score-weights",
        metavar="=A,…",
        help="weights of the list's scores (default: 1 each; for a Moses list, of its total only)",
    )
    weights.add_argument(
        "--lm-weight", type=float, metavar="X", help="weight of the language model, 0 or more (default: 1)"
    )
    weights.add_argument("--word-penalty", type=float, metavar="Y", help="added for each word (default: 0)")
    weights.add_argument("--ngram", metavar="MODEL", help="a second model to interpolate with, token by token")
    weights.add_argument(
        "--ngram-weight",
        type=float,
        metavar="L",
        help="P = (1 - L) P_RUN + L P_MODEL (default: 0.5; with --tune, the L that makes its references most likely)",
    )
    tuning = parser.add_argument_group("tuning")
    tuning.add_argument(
        "--tune",
        metavar="FILE",
        help="development list: weights that are not given are chosen for the fewest word errors on it",
    )
    tuning.add_argument(
        "--tune-references", action="append", default=[], metavar="FILE", help="its references (default: --references)"
    )
    tuning.add_argument(
        "--tune-scores", action="append", default=[], metavar="FILE", help="its scores (default: --scores)"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", metavar="FILE", help="write the best hypothesis of each id, id<TAB>text; -: to standard output"
    )
    output.add_argument(
        "--out-nbest",
        metavar="FILE",
        help="write the list in its new order, with log P as one more score; -: to standard output",
    )
    add_json_file(output)


def check(arguments: argparse.Namespace) -> None:
    """Check the options and their combinations before any work is done.

    Raises:
        ConfigError: if a value or a combination is impossible.
    """
    for name in ("lm_weight", "word_penalty", "ngram_weight"):
        value = getattr(arguments, name)
        if value is not None and not math.isfinite(value):
            raise ConfigError(f"--{name.replace('_', '-')} must be a finite number, not {value}")
    if arguments.lm_weight is not None and arguments.lm_weight < 0:
        raise ConfigError(f"--lm-weight must be 0 or more, not {arguments.lm_weight}")
    if arguments.ngram_weight is not None:
        if arguments.ngram is None:
            raise ConfigError("--ngram-weight needs --ngram: give the model to interpolate with")
        if not 0 <= arguments.ngram_weight <= 1:
            raise ConfigError(f"--ngram-weight must be between 0 and 1, not {arguments.ngram_weight}")
    if arguments.tune is None and (arguments.tune_references or arguments.tune_scores):
        raise ConfigError("--tune-references and --tune-scores are of a development list: give it with --tune")
    if arguments.tune is not None and not (arguments.references or arguments.tune_references):
        raise ConfigError("--tune needs the correct texts: give --references, or --tune-references")
    read = [arguments.run, arguments.ngram, arguments.nbest, arguments.tune]
    read += arguments.scores + arguments.references + arguments.tune_scores + arguments.tune_references
    check_files([arguments.out, arguments.out_nbest], arguments.json, read)


def score_weights(arguments: argparse.Namespace) -> tuple[float, ...] | None:
    """Return the weights of ``--score-weights``; None if it is not given.

    Raises:
        ConfigError: if one is not a finite number.
    """
    if arguments.score_weights is None:
        return None
    try:
        values = tuple(float(word) for word in arguments.score_weights.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise ConfigError(
            f"--score-weights must be finite numbers with commas between, not {arguments.score_weights!r}"
        )
    return values
