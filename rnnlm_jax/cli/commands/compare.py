"""``rnnlm-jax compare``: several models on one text, side by side."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rnnlm_jax.cli.common_arguments import add_checkpoint, add_data, add_json_file
from rnnlm_jax.cli.dynamic_options import add_dynamic_options, dynamic_settings, measure_scale
from rnnlm_jax.cli.output_files import check_files, standard_output, write_json, write_output
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.evaluation.comparison import (
    ComparisonTable,
    DynamicRule,
    NamedText,
    PerWordTable,
    Scorer,
    TrainedRun,
    compare,
    compare_per_word,
    names_from_paths,
    open_scorer,
    require_same_vocabulary,
    unigram_cache,
)
from rnnlm_jax.system.progress import token_bar

#: Value of ``--mix`` without names: a mixture of all models.
ALL = "all"
#: Name of the unigram cache in tables and in ``--mix``.
CACHE = "cache"

EXAMPLES = """\
  rnnlm-jax compare runs/lstm runs/gru kn5.model --data ptb:test
  rnnlm-jax compare runs/lstm kn5.model --data ptb:test --mix lstm,kn5 --cache --markdown table.md
  rnnlm-jax compare runs/words runs/subwords --data test.txt --per-word"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of comparison."""
    parser.add_argument("models", nargs="+", metavar="RUN", help="folders of trained models, or files of n-gram models")
    add_data(parser)
    add_checkpoint(parser)
    parser.add_argument(
        "--per-word",
        action="store_true",
        help="for models with different vocabularies: perplexity per word and bits per character of the text",
    )
    parser.add_argument(
        "--horizons", metavar="DIR", help="output of rnnlm-jax jacobians for the runs (default: searched in each run)"
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown; -: to standard output")
    add_json_file(parser)
    mixtures = parser.add_argument_group("mixtures")
    mixtures.add_argument(
        "--mix",
        nargs="?",
        const=ALL,
        action="append",
        metavar="NAME,…",
        help="add a mixture of these models, named by the last part of their paths, or of all; repeatable",
    )
    mixtures.add_argument(
        "--tune",
        metavar="FILE",
        help="text to fit the mixture weights on (default: CORPUS:valid where --data is CORPUS:test)",
    )
    mixtures.add_argument(
        "--cache", action="store_true", help=f'add a unigram cache of the text so far, named "{CACHE}", to mixtures'
    )
    add_dynamic_options(parser)


def main(arguments: argparse.Namespace) -> int:
    """Score one text by every model, print a table sorted by perplexity, and write it to the given files."""
    dynamic = dynamic_settings(arguments)
    names = names_from_paths(arguments.models)
    if arguments.horizons is not None and not Path(arguments.horizons).is_dir():
        raise ConfigError(f"cannot find the folder {arguments.horizons}: give the --out folder of rnnlm-jax jacobians")
    check_files([arguments.markdown], arguments.json, [*arguments.models, arguments.data, arguments.tune])
    if arguments.per_word and (arguments.mix or arguments.cache or arguments.tune):
        raise ConfigError("--mix and --cache need models with the same tokens, --per-word does not: choose")
    tune = _tuning_text(arguments)
    scorers: list[Scorer] = [
        open_scorer(path, name, checkpoint=arguments.checkpoint, horizons=arguments.horizons)
        for path, name in zip(arguments.models, names, strict=True)
    ]
    if not arguments.per_word:
        require_same_vocabulary(scorers, "train both with the same --vocabulary, or add --per-word")
    vocabularies = {scorer.vocabulary.content_hash: scorer.vocabulary for scorer in scorers}
    texts = {key: encode_text(arguments.data, each, arguments.data_dir) for key, each in vocabularies.items()}
    if dynamic is not None:
        scorers += _with_dynamic_evaluation(scorers, dynamic, arguments)
    if arguments.per_word:
        encoded = [texts[scorer.vocabulary.content_hash] for scorer in scorers]
        return _write(arguments, compare_per_word(scorers, arguments.data, encoded, make_bar=token_bar))
    vocabulary, text = scorers[0].vocabulary, texts[scorers[0].vocabulary.content_hash]
    tuning = NamedText(tune, encode_text(tune, vocabulary, arguments.data_dir)) if tune else None
    caches: list[Scorer] = [unigram_cache(vocabulary, CACHE)] if arguments.cache else []
    all_names = [scorer.name for scorer in (*scorers, *caches)]
    mixes = [all_names if mix == ALL else mix.split(",") for mix in _mixes(arguments)]
    test = NamedText(arguments.data, text)
    table = compare(scorers, test, make_bar=token_bar, mixtures=mixes, tuning=tuning, mixture_only=caches)
    return _write(arguments, table)


def _write(arguments: argparse.Namespace, table: ComparisonTable | PerWordTable) -> int:
    """Print a table, and write it to the given files."""
    with standard_output(arguments.markdown) as out:
        print(table.text(), end="")
        if arguments.markdown is not None:
            write_output(arguments.markdown, table.markdown(), out)
        write_json(arguments.json, table.summary())
    return 0


def _mixes(arguments: argparse.Namespace) -> list[str]:
    """Return the mixtures; ``--cache`` alone implies one of all models, since a cache is only part of mixtures."""
    return arguments.mix or ([ALL] if arguments.cache else [])


def _tuning_text(arguments: argparse.Namespace) -> str:
    """Return the name of the text to fit weights on; "" without mixtures.

    Raises:
        ConfigError: if mixtures have no such text, or the text has no mixtures.
    """
    if not _mixes(arguments):
        if arguments.tune is not None:
            raise ConfigError("--tune is for mixtures: add --mix")
        return ""
    if arguments.tune is not None:
        return arguments.tune
    corpus, colon, split = arguments.data.rpartition(":")
    if colon and split == "test":
        return f"{corpus}:valid"
    raise ConfigError("--mix needs a text to fit weights on: give --tune, such as ptb:valid")


def _with_dynamic_evaluation(
    scorers: Sequence[Scorer], dynamic: DynamicRule, arguments: argparse.Namespace
) -> list[Scorer]:
    """Return a second scorer for each trained run, with dynamic evaluation.

    Raises:
        ConfigError: if no model is a trained run.
    """
    found: list[Scorer] = []
    for scorer in scorers:
        if isinstance(scorer, TrainedRun):
            info = dataclasses.replace(scorer.info, kind=f"{scorer.info.kind}; {dynamic}", horizon="")
            scale = measure_scale(scorer.run, scorer.name, dynamic, arguments)
            name = f"{scorer.name} dynamic"
            found.append(dataclasses.replace(scorer, name=name, info=info, dynamic=dynamic, scale=scale))
    if not found:
        raise ConfigError("--dynamic is for trained runs, and no model is one: leave it out")
    return found
