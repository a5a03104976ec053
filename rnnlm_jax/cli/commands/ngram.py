"""``rnnlm-jax ngram``: train and evaluate n-gram models."""

import argparse
import time
from pathlib import Path
from typing import TextIO

from rnnlm_jax import ngrams
from rnnlm_jax.cli.common_arguments import add_data, add_data_dir, add_json, add_vocabulary_files
from rnnlm_jax.cli.maxent_options import add_maxent_options, read_priors, train_maxent
from rnnlm_jax.cli.output_files import STANDARD_OUTPUT, output_path, standard_output, write_json
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.cli.snm_options import add_snm_options, check_snm_options, train_snm
from rnnlm_jax.cli.text_input import encode_text, text_lines
from rnnlm_jax.data import EncodedText, Vocabulary, build_vocabulary, read_tokenizer, read_vocabulary_file
from rnnlm_jax.data.vocabulary import LEVELS
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.evaluation import evaluation_from_nll
from rnnlm_jax.ngrams.arpa_writing import arpa_names, ngram_total
from rnnlm_jax.ngrams.discounts import DISCOUNT_KINDS
from rnnlm_jax.ngrams.kneser_ney import require_order
from rnnlm_jax.system.atomic_write import require_file_name
from rnnlm_jax.system.progress import token_bar

TRAIN_EXAMPLES = """\
  rnnlm-jax ngram train my.txt --out kn5.model
  rnnlm-jax ngram train ptb:train --order 5 --arpa kn5.arpa.gz --out kn5.model
  rnnlm-jax ngram train ptb:train --model maxent --held-out ptb:valid --out maxent5.model
  rnnlm-jax ngram train ptb:train --model snm --skip-grams --out snm5.model"""

EVAL_EXAMPLES = """\
  rnnlm-jax ngram eval kn5.model --data ptb:test"""

EXAMPLES = f"{TRAIN_EXAMPLES}\n{EVAL_EXAMPLES}"


def add_arguments(parser: Parser) -> None:
    """Add the actions ``train`` and ``eval``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")

    train = actions.add_parser("train", help="count a text and smooth the counts", description=train_model.__doc__)
    train.add_argument("file", metavar="FILE", help="a text file, or a split of a corpus such as ptb:train")
    train.add_argument("--out", required=True, metavar="MODEL", help="the model file to write; -: to standard output")
    train.add_argument(
        "--model",
        choices=("kn", "maxent", "snm"),
        default="kn",
        help="interpolated Kneser-Ney, maximum entropy, or a sparse non-negative matrix (default: kn)",
    )
    train.add_argument("--order", type=int, default=5, metavar="N", help="length of the longest n-grams (default: 5)")
    train.add_argument(
        "--discounts",
        choices=DISCOUNT_KINDS,
        help="modified: three per order, for counts of 1, 2, and more; or a single one per order (default: modified)",
    )
    train.add_argument(
        "--arpa", metavar="FILE", help="also write an ARPA file, compressed if it ends in .gz; -: to standard output"
    )
    train.add_argument(
        "--held-out",
        metavar="FILE",
        help="maxent: text that the priors are chosen on; snm: text that the adjustment is trained on (default: the "
        "training text, each block with the counts of the others)",
    )
    add_data_dir(train)
    vocabulary = train.add_argument_group("vocabulary")
    add_vocabulary_files(vocabulary)
    vocabulary.add_argument("--level", choices=LEVELS, help="what a token is (default: word)")
    vocabulary.add_argument(
        "--min-count", type=int, default=1, metavar="N", help="words seen fewer times become <unk> (default: 1)"
    )
    vocabulary.add_argument(
        "--max-vocabulary",
        type=int,
        metavar="V",
        help="keep the V most frequent words (default: all); with --level subword, V subwords (default: 8000)",
    )
    add_maxent_options(train)
    add_snm_options(train)
    train.set_defaults(run=train_model)
    train.finish(TRAIN_EXAMPLES)

    evaluate = actions.add_parser("eval", help="perplexity on a text", description=evaluate_model.__doc__)
    evaluate.add_argument("model", metavar="MODEL", help="a model file, or an ARPA file, plain or .gz")
    add_data(evaluate)
    add_json(evaluate)
    evaluate.set_defaults(run=evaluate_model)
    evaluate.finish(EVAL_EXAMPLES)


def main(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    return arguments.run(arguments)


def train_model(arguments: argparse.Namespace) -> int:
    """Train an n-gram model on a text: Kneser-Ney, maximum entropy, or a sparse non-negative matrix."""
    start = time.perf_counter()
    require_order(arguments.order)
    _check_options_of_model(arguments)
    if arguments.arpa is not None and Path(arguments.arpa).absolute() == Path(arguments.out).absolute():
        raise ConfigError("--out and --arpa name the same file: give two names")
    for path in (arguments.out, arguments.arpa):
        if path not in (None, STANDARD_OUTPUT):
            require_file_name(path)
    with standard_output(arguments.out, arguments.arpa) as out:
        _train(arguments, out, start)
    return 0


def _train(arguments: argparse.Namespace, out: TextIO, start: float) -> None:
    """Train, write and describe a model; ``out`` is the stream of files named ``-``."""
    vocabulary = _vocabulary(arguments)
    if arguments.arpa is not None:
        arpa_names(vocabulary)  # raises, before any work, if the format cannot hold a token
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
        print(f"note: the words of {arguments.arpa} are subwords: use it with text that is split into them already")
    seconds = time.perf_counter() - start
    counted = "entries" if arguments.model == "snm" else "n-grams"
    print(f"{written}: {model.parameter_count:,} {counted}, {text.oov:,} OOV in training, {seconds:.1f} s")


def _train_kneser_ney(arguments: argparse.Namespace, text: EncodedText, vocabulary: Vocabulary) -> ngrams.NgramModel:
    with token_bar("counting", arguments.order * len(text)) as bar:
        discounts = arguments.discounts or "modified"
        return ngrams.train(text, vocabulary, arguments.order, discounts=discounts, progress=bar.update)


#: Value of ``--model`` -> its training function.
_TRAIN = {"kn": _train_kneser_ney, "maxent": train_maxent, "snm": train_snm}
#: Options that not every model has -> the models that have them.
_OPTIONS_OF_MODELS = {
    "discounts": ("kn",),
    "arpa": ("kn", "maxent"),
    "held_out": ("maxent", "snm"),
    "prior_discounts": ("maxent",),
    "prior_variances": ("maxent",),
    "skip_grams": ("snm",),
    "lexical": ("snm",),
    "epochs": ("snm",),
}


def _check_options_of_model(arguments: argparse.Namespace) -> None:
    """Check that the model has all given options, and their values.

    Raises:
        ConfigError: if one is for another model, or its value is impossible.
    """
    for name, models in _OPTIONS_OF_MODELS.items():
        if arguments.model not in models and getattr(arguments, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} needs --model {' or '.join(models)}: give that too, or leave {option} out")
    if arguments.model == "maxent":
        read_priors(arguments)
    if arguments.model == "snm":
        check_snm_options(arguments)


def _vocabulary(arguments: argparse.Namespace) -> Vocabulary:
    """Return the given vocabulary, or the one built from the text."""
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
        raise ConfigError("--tokenizer and --vocabulary both give a vocabulary: choose one")
    if (arguments.level, arguments.min_count, arguments.max_vocabulary) != (None, 1, None):
        raise ConfigError(f"--level, --min-count and --max-vocabulary build a vocabulary, {files[0]} gives one: choose")
    if arguments.tokenizer is not None:
        return read_tokenizer(arguments.tokenizer)
    return read_vocabulary_file(arguments.vocabulary)


def evaluate_model(arguments: argparse.Namespace) -> int:
    """Print the perplexity of an n-gram model on a text; every token of each line counts, its end included."""
    model = ngrams.load(arguments.model)
    text = encode_text(arguments.data, model.vocabulary, arguments.data_dir)
    start = time.perf_counter()
    with token_bar("evaluating", len(text)) as bar:
        nll = model.token_nll(text, bar.update)
    evaluation = evaluation_from_nll(nll, text, model.policy, seconds=time.perf_counter() - start)
    print(model.describe())
    print(f"{arguments.data}: {evaluation}")
    about = {"model": arguments.model, "data": arguments.data, "parameters": model.parameter_count}
    write_json(arguments.json, about | evaluation.summary())
    return 0
