"""``rnnlm-jax pairs``: how often models prefer the acceptable one of two sentences, or of two forms of a word."""

import argparse
from pathlib import Path

from rnnlm_jax import plotting
from rnnlm_jax.cli.common_arguments import add_checkpoint, add_json_file
from rnnlm_jax.cli.output_files import check_files, standard_output, write_json, write_output
from rnnlm_jax.data import is_pattern
from rnnlm_jax.data.corpora.text_files import matching_files
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.evaluation.comparison import names_from_paths, open_scorer
from rnnlm_jax.evaluation.minimal_pairs import (
    SENTENCE,
    WORD,
    pair_scores_text,
    pair_summary,
    pair_table,
    read_pairs,
    report_pairs,
    score_pairs,
)
from rnnlm_jax.evaluation.minimal_pairs.vocabulary_text import AUTO, CASE, TOKENIZE
from rnnlm_jax.system.progress import token_bar

#: Formats of the figure.
FIGURES = (".png", ".pdf", ".svg")

EXAMPLES = """\
  rnnlm-jax pairs runs/lstm --data blimp/npi_present_1.jsonl
  rnnlm-jax pairs runs/lstm runs/elman kn5.model --data 'blimp/*_agreement_*.jsonl' --json blimp.json
  rnnlm-jax pairs runs/lstm --data linzen/subj_agr_filtered --plot accuracy.png --out pairs.tsv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of minimal pairs."""
    parser.add_argument("models", nargs="+", metavar="RUN", help="folders of trained models, or files of n-gram models")
    parser.add_argument(
        "--data",
        required=True,
        action="append",
        metavar="FILE",
        help="BLiMP's JSON lines; good, bad and optionally a group between tabs; or STEM of STEM.text, STEM.eval and "
        "STEM.gold; also a pattern; repeatable",
    )
    parser.add_argument(
        "--unit",
        choices=(SENTENCE, WORD),
        help="compare whole sentences, or the words in which they differ after the words before them (default: "
        f"{WORD} for STEM, else {SENTENCE})",
    )
    parser.add_argument(
        "--context",
        type=int,
        metavar="N",
        help=f"with --unit {WORD}: read only the N words before the one that is compared (default: all)",
    )
    add_checkpoint(parser)
    text = parser.add_argument_group("text for a vocabulary of words")
    text.add_argument(
        "--tokenize",
        choices=TOKENIZE,
        default=AUTO,
        help="split marks and contractions off as the vocabulary has them, or split at spaces only (default: auto)",
    )
    text.add_argument(
        "--case",
        choices=CASE,
        default=AUTO,
        help="capitals as the vocabulary has them, as they stand, or lower case (default: auto)",
    )
    parser.add_argument("--plot", metavar="FILE", help="figure of the accuracy by distance: .png, .pdf or .svg")
    parser.add_argument(
        "--out", metavar="FILE", help="write the probabilities of each pair between tabs; -: to standard output"
    )
    add_json_file(parser)


def main(arguments: argparse.Namespace) -> int:
    """Score the pairs by every model, print accuracies, and write them to the given files."""
    names = names_from_paths(arguments.models)
    check_files([arguments.plot, arguments.out], arguments.json, [*arguments.models, *arguments.data])
    if arguments.plot is not None and Path(arguments.plot).suffix not in FIGURES:
        raise ConfigError(f"--plot {arguments.plot}: the name of the figure must end in {', '.join(FIGURES)}")
    files = [file for name in arguments.data for file in (matching_files(name) if is_pattern(name) else [name])]
    pairs = read_pairs(files)
    named = zip(arguments.models, names, strict=True)
    scorers = [open_scorer(path, name, checkpoint=arguments.checkpoint) for path, name in named]
    scored = [
        score_pairs(
            scorer,
            pairs,
            make_bar=token_bar,
            unit=arguments.unit,
            context=arguments.context,
            tokenize=arguments.tokenize,
            case=arguments.case,
        )
        for scorer in scorers
    ]
    reports = [report_pairs(scores) for scores in scored]
    found = pair_summary(reports)
    with standard_output(arguments.out) as out:
        print(pair_table(reports), end="")
        if arguments.plot is not None:
            plotting.pair_accuracy(found["models"], Path(arguments.plot))
        if arguments.out is not None:
            write_output(arguments.out, pair_scores_text(scored), out)
        write_json(arguments.json, found)
    return 0
