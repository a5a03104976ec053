"""``rnnlm-jax ngram``: n-gram models, trained and measured."""

import argparse
import time
from pathlib import Path
from typing import TextIO

from rnnlm_jax import ngrams
from rnnlm_jax.cli.maxent_options import add_maxent_options, read_priors, train_maxent
from rnnlm_jax.cli.snm_options import add_snm_options, check_snm_options, train_snm
from rnnlm_jax.cli.text_input import encode_text, text_lines
from rnnlm_jax.cli.written_files import PRINTED, output_path, standard_output
from rnnlm_jax.data import EncodedText, Vocabulary, build_vocabulary, read_tokenizer, read_vocabulary_file
from rnnlm_jax.data.vocabulary import LEVELS
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation import evaluation_from_nll
from rnnlm_jax.ngrams.arpa_writing import arpa_names, ngram_total
from rnnlm_jax.ngrams.discounts import DISCOUNT_KINDS
from rnnlm_jax.ngrams.kneser_ney import require_order
from rnnlm_jax.system import json_text
from rnnlm_jax.system.atomic_write import require_file_name
from rnnlm_jax.system.progress import token_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two things there are to do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    train = actions.add_parser("train", help="count a text and smooth", description=train_model.__doc__)
    train.add_argument("file", metavar="FILE", help="a text file, or a split such as ptb:train")
    train.add_argument("--out", required=True, metavar="MODEL", help="the model file to write; -: standard output")
    train.add_argument(
        "--model",
        choices=("kn", "maxent", "snm"),
        default="kn",
        help="interpolated Kneser-Ney, maximum entropy, or a sparse non-negative matrix of n-grams (default: kn)",
    )
    train.add_argument("--order", type=int, default=5, metavar="N", help="the longest n-grams (default: 5)")
    train.add_argument(
        "--discounts",
        choices=DISCOUNT_KINDS,
        help="three a order, for counts of 1, 2 and more, or a single one (default: modified)",
    )
    train.add_argument(
        "--arpa", metavar="FILE", help="write an ARPA file too; compressed if it ends in .gz; -: to standard output"
    )
    train.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="a vocabulary.json of a run, or a text with one word a line (default: of the text)",
    )
    train.add_argument("--tokenizer", metavar="FILE", help="a tokenizer.json, whose subwords are then the vocabulary")
    train.add_argument("--level", choices=LEVELS, help="what a token is (default: word)")
    train.add_argument("--min-count", type=int, default=1, metavar="N", help="words seen less often become <unk>")
    train.add_argument(
        "--max-vocabulary", type=int, metavar="V", help="keep the V most frequent words; of subwords, V (default: 8000)"
    )
    train.add_argument(
        "--held-out",
        metavar="FILE",
        help="maxent: text that the priors are chosen on; snm: text that the adjustment learns from (default: the "
        "training text, block by block, against all the rest)",
    )
    _add_data_dir(train)
    add_maxent_options(train)
    add_snm_options(train)
    train.set_defaults(run=train_model)

    evaluate = actions.add_parser("eval", help="perplexity on a text", description=evaluate_model.__doc__)
    evaluate.add_argument("model", metavar="MODEL", help="a model file, or an ARPA file, plain or .gz")
    evaluate.add_argument("--data", required=True, metavar="FILE", help="a text file, or a split such as ptb:test")
    evaluate.add_argument("--json", action="store_true", help="print the figures as one JSON object, the last line")
    _add_data_dir(evaluate)
    evaluate.set_defaults(run=evaluate_model)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds ptb/, wikitext-2/ … [$RNNLM_JAX_DATA]")


def main(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    return arguments.run(arguments)


def train_model(arguments: argparse.Namespace) -> int:
    """Train an n-gram model on the whole of a text: Kneser-Ney, maximum entropy, or a sparse non-negative matrix."""
    start = time.perf_counter()
    require_order(arguments.order)
    _require_own_options(arguments)
    if arguments.arpa is not None and Path(arguments.arpa).absolute() == Path(arguments.out).absolute():
        raise UserError("--out and --arpa name the same file: give two names")
    for path in (arguments.out, arguments.arpa):
        if path not in (None, PRINTED):
            require_file_name(path)
    with standard_output(arguments.out, arguments.arpa) as out:
        _train(arguments, out, start)
    return 0


def _train(arguments: argparse.Namespace, out: TextIO, start: float) -> None:
    """Train, write, and tell of it; a model that goes to standard output is written to ``out``."""
    vocabulary = _vocabulary(arguments)
    if arguments.arpa is not None:
        arpa_names(vocabulary)  # what the format cannot hold is refused before the work
    text = encode_text(arguments.file, vocabulary, arguments.data_dir)
    model = _TRAIN[arguments.model](arguments, text, vocabulary)
    with output_path(arguments.out, out) as path:
        model.save(path)
    if arguments.arpa is not None and isinstance(model, ngrams.NgramModel):
        with token_bar("writing ARPA", ngram_total(model)) as bar, output_path(arguments.arpa, out) as path:
            ngrams.write_arpa(model, path, bar.update)
    print(model.describe())
    written = arguments.out if arguments.arpa is None else f"{arguments.out} and {arguments.arpa}"
    if arguments.arpa is not None and vocabulary.tokenizer is not None:
        print(
            f"note: the words of {arguments.arpa} are subwords: whoever reads it must be given text that is cut already"
        )
    seconds = time.perf_counter() - start
    counted = "entries" if arguments.model == "snm" else "n-grams"
    print(f"{written}: {model.parameter_count:,} {counted}, {text.oov:,} OOV in training, {seconds:.1f} s")


def _train_kneser_ney(arguments: argparse.Namespace, text: EncodedText, vocabulary: Vocabulary) -> ngrams.NgramModel:
    with token_bar("counting", arguments.order * len(text)) as bar:
        discounts = arguments.discounts or "modified"
        return ngrams.train(text, vocabulary, arguments.order, discounts=discounts, progress=bar.update)


#: Who trains a model, by the name it has.
_TRAIN = {"kn": _train_kneser_ney, "maxent": train_maxent, "snm": train_snm}
#: Options that not every model has.
_OWNERS = {
    "discounts": ("kn",),
    "arpa": ("kn", "maxent"),
    "held_out": ("maxent", "snm"),
    "prior_discounts": ("maxent",),
    "prior_variances": ("maxent",),
    "skip_grams": ("snm",),
    "lexical": ("snm",),
    "epochs": ("snm",),
}


def _require_own_options(arguments: argparse.Namespace) -> None:
    """Check that the options are those of the model.

    Raises:
        UserError: if one is of another model, or cannot be.
    """
    for name, owners in _OWNERS.items():
        if arguments.model not in owners and getattr(arguments, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} needs --model {' or '.join(owners)}: give that too, or leave {option} out")
    if arguments.model == "maxent":
        read_priors(arguments)
    if arguments.model == "snm":
        check_snm_options(arguments)


def _vocabulary(arguments: argparse.Namespace) -> Vocabulary:
    """The vocabulary that was given, or that of the text."""
    given = {"--vocabulary": arguments.vocabulary, "--tokenizer": arguments.tokenizer}
    files = [flag for flag, file in given.items() if file is not None]
    if not files:
        return build_vocabulary(
            text_lines(arguments.file, arguments.data_dir),
            arguments.level or "word",
            min_count=arguments.min_count,
            max_size=arguments.max_vocabulary,
        )
    if len(files) > 1:
        raise UserError("--tokenizer and --vocabulary both give a vocabulary: choose one")
    if (arguments.level, arguments.min_count, arguments.max_vocabulary) != (None, 1, None):
        raise UserError(f"--level, --min-count and --max-vocabulary make a vocabulary, {files[0]} gives one: choose")
    if arguments.tokenizer is not None:
        return read_tokenizer(arguments.tokenizer)
    return read_vocabulary_file(arguments.vocabulary)


def evaluate_model(arguments: argparse.Namespace) -> int:
    """Print the perplexity of a model on a text: every token of each line, its end included."""
    model = ngrams.load(arguments.model)
    text = encode_text(arguments.data, model.vocabulary, arguments.data_dir)
    start = time.perf_counter()
    with token_bar("evaluating", len(text)) as bar:
        nats = model.token_nll(text, bar.update)
    evaluation = evaluation_from_nll(nats, text, model.policy, seconds=time.perf_counter() - start)
    print(model.describe())
    print(f"{arguments.data}: {evaluation}")
    if arguments.json:
        about = {"model": arguments.model, "data": arguments.data, "parameters": model.parameter_count}
        print(json_text.dumps(about | evaluation.summary()))
    return 0
