"""The options of ``rnnlm-jax rescore``, and what does not go together."""

import argparse
import math

from rnnlm_jax.cli.written_files import add_json_option, check_files
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.rescoring import BASES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, by what they are about."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained model, or file of an n-gram model")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="of a run (default: best)")
    lists = parser.add_argument_group("lists")
    lists.add_argument(
        "--nbest",
        required=True,
        metavar="FILE",
        help="one hypothesis a line: id<TAB>score[,score…]<TAB>text; or Moses, id ||| text ||| name= score ||| total; "
        "or JSON lines with id, scores, text; or Kaldi, id-1 text, with --scores",
    )
    lists.add_argument(
        "--scores", action="append", default=[], metavar="FILE", help="of a Kaldi list: id-1 score; may be repeated"
    )
    lists.add_argument("--score-base", choices=tuple(BASES), default="e", help="of the list's logarithms (default: e)")
    lists.add_argument("--costs", action="store_true", help="the list's scores are costs: lower is better")
    lists.add_argument(
        "--references", action="append", default=[], metavar="FILE", help="id<TAB>text: measure word error rates"
    )
    weights = parser.add_argument_group("weights", "total = Σ weight · score + X · log P(text) + Y · words, in nats")
    weights.add_argument(
        "--score-weights",
        metavar="=A,…",
        help="of the list's scores (default: 1 each; of a Moses list its total alone)",
    )
    weights.add_argument("--lm-weight", type=float, metavar="X", help="of the language model, 0 or more (default: 1)")
    weights.add_argument("--word-penalty", type=float, metavar="Y", help="added for each word (default: 0)")
    weights.add_argument("--ngram", metavar="MODEL", help="a second model to interpolate with, token by token")
    weights.add_argument(
        "--ngram-weight",
        type=float,
        metavar="L",
        help="P = (1 - L) P_RUN + L P_MODEL (default: 0.5; with --tune, what makes its references most likely)",
    )
    tuning = parser.add_argument_group("tuning")
    tuning.add_argument(
        "--tune",
        metavar="FILE",
        help="a development list: weights that are not given make the fewest word errors on it",
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
        "--out-nbest", metavar="FILE", help="write the list, ranked anew, with log P as one more score; likewise"
    )
    add_json_option(output)


def check(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together, or cannot be, before any work is done.

    Raises:
        UserError: for such options.
    """
    for name in ("lm_weight", "word_penalty", "ngram_weight"):
        value = getattr(arguments, name)
        if value is not None and not math.isfinite(value):
            raise UserError(f"--{name.replace('_', '-')} must be a finite number, not {value}")
    if arguments.lm_weight is not None and arguments.lm_weight < 0:
        raise UserError(f"--lm-weight must be 0 or more, not {arguments.lm_weight}")
    if arguments.ngram_weight is not None:
        if arguments.ngram is None:
            raise UserError("--ngram-weight needs --ngram: say which model to interpolate with")
        if not 0 <= arguments.ngram_weight <= 1:
            raise UserError(f"--ngram-weight must be between 0 and 1, not {arguments.ngram_weight}")
    if arguments.tune is None and (arguments.tune_references or arguments.tune_scores):
        raise UserError("--tune-references and --tune-scores are of a development list: give it with --tune")
    if arguments.tune is not None and not (arguments.references or arguments.tune_references):
        raise UserError("--tune needs to know what was said: give --references, or --tune-references")
    read = [arguments.run, arguments.ngram, arguments.nbest, arguments.tune]
    read += arguments.scores + arguments.references + arguments.tune_scores + arguments.tune_references
    check_files([arguments.out, arguments.out_nbest], arguments.json, read)


def score_weights(arguments: argparse.Namespace) -> tuple[float, ...] | None:
    """The weights given with ``--score-weights``.

    Raises:
        UserError: if one is no finite number.
    """
    if arguments.score_weights is None:
        return None
    try:
        values = tuple(float(word) for word in arguments.score_weights.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise UserError(f"--score-weights must be finite numbers with commas between, not {arguments.score_weights!r}")
    return values
