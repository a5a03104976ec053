"""``rnnlm-jax compare``."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rnnlm_jax.cli import dynamic_options
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.cli.written_files import add_json_option, check_files, standard_output, write_json, write_output
from rnnlm_jax.errors import UserError
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

#: What ``--mix`` mixes where no names are given.
ALL = "all"
#: The name of the cache in tables and in ``--mix``.
CACHE = "cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of comparison."""
    parser.add_argument("models", nargs="+", metavar="RUN", help="folders of trained models, or files of n-gram models")
    parser.add_argument("--data", required=True, metavar="FILE", help="a text file, or a split such as ptb:test")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds ptb/, wikitext-2/ … [$RNNLM_JAX_DATA]")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="of runs (default: best)")
    parser.add_argument(
        "--mix",
        nargs="?",
        const=ALL,
        action="append",
        metavar="NAME,…",
        help="add a mixture of models, by the last part of their paths, or of all; may be given several times",
    )
    parser.add_argument(
        "--tune",
        metavar="FILE",
        help="text to fit mixture weights on (default: CORPUS:valid where --data is CORPUS:test)",
    )
    parser.add_argument(
        "--cache", action="store_true", help=f"a unigram cache of the text so far, called {CACHE}, for mixtures"
    )
    parser.add_argument(
        "--per-word",
        action="store_true",
        help="for models of different vocabularies: perplexity a word and bits a character of the text as it is, "
        "however each model cuts it",
    )
    dynamic_options.add_arguments(parser)
    parser.add_argument(
        "--horizons", metavar="DIR", help="what jacobians --out wrote of the runs (default: found below a run's folder)"
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown; -: to standard output")
    add_json_option(parser)


def main(arguments: argparse.Namespace) -> int:
    """Score one text by every model, print a table sorted by perplexity, and write it where asked to."""
    how = dynamic_options.settings(arguments)
    names = names_from_paths(arguments.models)
    if arguments.horizons is not None and not Path(arguments.horizons).is_dir():
        raise UserError(f"there is no folder {arguments.horizons}: give what rnnlm-jax jacobians --out wrote")
    check_files([arguments.markdown], arguments.json, [*arguments.models, arguments.data, arguments.tune])
    if arguments.per_word and (arguments.mix or arguments.cache or arguments.tune):
        raise UserError("--mix and --cache need tokens that all models share, as --per-word does not: choose")
    tune = _tuning_text(arguments)
    scorers: list[Scorer] = [
        open_scorer(path, name, checkpoint=arguments.checkpoint, horizons=arguments.horizons)
        for path, name in zip(arguments.models, names, strict=True)
    ]
    if not arguments.per_word:
        require_same_vocabulary(scorers, "train both with the same --vocabulary, or add --per-word")
    vocabularies = {scorer.vocabulary.content_hash: scorer.vocabulary for scorer in scorers}
    texts = {key: encode_text(arguments.data, each, arguments.data_dir) for key, each in vocabularies.items()}
    if how is not None:
        scorers += _dynamic(scorers, how, arguments)
    if arguments.per_word:
        cut = [texts[scorer.vocabulary.content_hash] for scorer in scorers]
        return _write(arguments, compare_per_word(scorers, arguments.data, cut, make_bar=token_bar))
    vocabulary, text = scorers[0].vocabulary, texts[scorers[0].vocabulary.content_hash]
    tuning = NamedText(tune, encode_text(tune, vocabulary, arguments.data_dir)) if tune else None
    caches: list[Scorer] = [unigram_cache(vocabulary, CACHE)] if arguments.cache else []
    every = [scorer.name for scorer in (*scorers, *caches)]
    mixes = [every if mix == ALL else mix.split(",") for mix in _mixes(arguments)]
    test = NamedText(arguments.data, text)
    table = compare(scorers, test, make_bar=token_bar, mixtures=mixes, tuning=tuning, mixture_only=caches)
    return _write(arguments, table)


def _write(arguments: argparse.Namespace, table: ComparisonTable | PerWordTable) -> int:
    """Print a table, and write it where asked to."""
    with standard_output(arguments.markdown) as out:
        print(table.text(), end="")
        if arguments.markdown is not None:
            write_output(arguments.markdown, table.markdown(), out)
        write_json(arguments.json, table.summary())
    return 0


def _mixes(arguments: argparse.Namespace) -> list[str]:
    """What to mix; a cache is of no other use."""
    return arguments.mix or ([ALL] if arguments.cache else [])


def _tuning_text(arguments: argparse.Namespace) -> str:
    """The text to fit weights on; "" where there is nothing to mix.

    Raises:
        UserError: if there is none.
    """
    if not _mixes(arguments):
        if arguments.tune is not None:
            raise UserError("--tune is for mixtures: add --mix")
        return ""
    if arguments.tune is not None:
        return arguments.tune
    corpus, colon, split = arguments.data.rpartition(":")
    if colon and split == "test":
        return f"{corpus}:valid"
    raise UserError("--mix needs a text to fit weights on: give --tune, such as ptb:valid")


def _dynamic(scorers: Sequence[Scorer], how: DynamicRule, arguments: argparse.Namespace) -> list[Scorer]:
    """Each trained run once more, with dynamic evaluation.

    Raises:
        UserError: if there is no trained run among the models.
    """
    found: list[Scorer] = []
    for scorer in scorers:
        if isinstance(scorer, TrainedRun):
            info = dataclasses.replace(scorer.info, kind=f"{scorer.info.kind}; {how}", horizon="")
            scale = dynamic_options.measured_scale(scorer.run, scorer.name, how, arguments, arguments.data_dir)
            name = f"{scorer.name} dynamic"
            found.append(dataclasses.replace(scorer, name=name, info=info, dynamic=how, scale=scale))
    if not found:
        raise UserError("--dynamic is for trained runs, and there is none among the models: leave it out")
    return found
