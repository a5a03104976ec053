"""``rnnlm-jax rescore``: choose among the hypotheses of n-best lists with a language model."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from rnnlm_jax.cli import rescore_options
from rnnlm_jax.cli.output_files import standard_output, write_json, write_output
from rnnlm_jax.evaluation.comparison import names_from_paths, open_scorer
from rnnlm_jax.evaluation.rescoring import (
    BASES,
    ErrorReport,
    NbestList,
    ScoredList,
    SentenceModel,
    Weights,
    best_hypotheses,
    best_text,
    default_score_weights,
    error_table,
    fit_mixture_weights,
    free_weights,
    list_errors,
    nbest_text,
    ranked_hypotheses,
    read_nbest,
    read_references,
    report_errors,
    require_free,
    require_weights,
    score_list,
    total_scores,
    tune_weights,
)
from rnnlm_jax.system.progress import token_bar

add_arguments = rescore_options.add_arguments

#: Default of ``--ngram-weight`` without a development list to fit it on.
NGRAM_WEIGHT = 0.5

EXAMPLES = """\
  rnnlm-jax rescore runs/lstm --nbest list.tsv --out best.tsv
  rnnlm-jax rescore runs/lstm --nbest test.tsv --references test.ref --tune dev.tsv --tune-references dev.ref
  rnnlm-jax rescore runs/lstm --ngram kn5.model --nbest list.tsv --lm-weight 0.8 --out-nbest ranked.tsv"""


def main(arguments: argparse.Namespace) -> int:
    """Score each hypothesis, and choose the best of each utterance; write files and word error rates as requested."""
    rescore_options.check(arguments)
    with standard_output(arguments.out, arguments.out_nbest) as out:
        _rescore(arguments, out)
    return 0


def _rescore(arguments: argparse.Namespace, out: TextIO) -> None:
    """Rescore the list; ``out`` is the stream of files named ``-``."""
    unit = (-1.0 if arguments.costs else 1.0) * BASES[arguments.score_base]
    nbest = read_nbest(arguments.nbest, arguments.scores)
    dev = _development_list(arguments, nbest)
    weights = _initial_weights(arguments, nbest)
    references = read_references(arguments.references)
    dev_references = read_references(arguments.tune_references) or references
    errors = list_errors(nbest, references) if _is_measured(arguments, nbest, references) else None
    dev_errors = list_errors(dev, dev_references) if dev is not None else None
    free = free_weights(
        weights.scores,
        scores_given=arguments.score_weights is not None,
        lm_weight_given=arguments.lm_weight is not None,
        word_penalty_given=arguments.word_penalty is not None,
    )
    if dev is not None:
        require_weights(weights, dev)
        require_free(free)
    model = _open(arguments)
    shares = _shares(arguments, model, dev, dev_references)
    about: dict[str, Any] = {}
    lists: list[ErrorReport] = []
    scored: ScoredList | None = None
    if dev is not None and dev_errors is not None:
        scored = score_list(dev, model, shares, unit=unit, make_bar=token_bar)
        weights, tuned = tune_weights(scored, dev_errors, weights, free=free, make_bar=_search_bar)
        lists.append(report_errors(scored, weights, dev_errors))
        about["development"] = {"list": dev.path, "line_searches": tuned.searches} | lists[0].summary()
    if scored is None or dev is not nbest:
        scored = score_list(nbest, model, shares, unit=unit, make_bar=token_bar)
    if errors is not None:
        found = report_errors(scored, weights, errors)
        about["word_errors"] = found.summary()
        if dev is not nbest:
            lists.append(found)
    chosen = _write(arguments, scored, weights, unit, out)
    if not (lists or arguments.out or arguments.out_nbest):
        print(best_text(nbest, chosen), end="")
    if lists:
        print(error_table(lists))
    print(_report(scored, model, weights, shares))
    unused = references.keys() - set(nbest.ids) - set(dev.ids if dev is not None else ())
    if unused:
        print(f"{len(unused):,} references have no hypotheses, and are not counted")
    write_json(arguments.json, _summary(scored, model, weights, shares) | about)


def _development_list(arguments: argparse.Namespace, nbest: NbestList) -> NbestList | None:
    """Return the list to tune on; the same object as ``nbest`` if it is the same file."""
    if arguments.tune is None:
        return None
    if not arguments.tune_scores and Path(arguments.tune).resolve() == Path(arguments.nbest).resolve():
        return nbest
    return read_nbest(arguments.tune, arguments.tune_scores or arguments.scores)


def _initial_weights(arguments: argparse.Namespace, nbest: NbestList) -> Weights:
    """Return the given weights, and defaults, from which tuning starts, for the others."""
    scores = rescore_options.score_weights(arguments)
    weights = Weights(
        default_score_weights(nbest) if scores is None else scores,
        1.0 if arguments.lm_weight is None else arguments.lm_weight,
        0.0 if arguments.word_penalty is None else arguments.word_penalty,
    )
    require_weights(weights, nbest)
    return weights


def _is_measured(arguments: argparse.Namespace, nbest: NbestList, references: Mapping[str, str]) -> bool:
    """Return whether there are references of this list; ``--references`` may be those of the development list only."""
    if not arguments.references:
        return False
    shared = arguments.tune is not None and not arguments.tune_references
    return not shared or any(name in references for name in nbest.ids)


def _open(arguments: argparse.Namespace) -> SentenceModel:
    paths = [arguments.run, *([arguments.ngram] if arguments.ngram else [])]
    named = zip(paths, names_from_paths(paths), strict=True)
    return SentenceModel([open_scorer(path, name, checkpoint=arguments.checkpoint) for path, name in named])


def _shares(
    arguments: argparse.Namespace, model: SentenceModel, dev: NbestList | None, references: Mapping[str, str]
) -> list[float]:
    """Return the interpolation weight of each model."""
    if arguments.ngram is None:
        return [1.0]
    if arguments.ngram_weight is not None or dev is None:
        share = NGRAM_WEIGHT if arguments.ngram_weight is None else arguments.ngram_weight
        return [1.0 - share, share]
    return fit_mixture_weights(model, dev, references).weights.tolist()


def _search_bar(description: str, total: int) -> Any:
    return token_bar(description, total or None, unit="line")


def _write(arguments: argparse.Namespace, scored: ScoredList, weights: Weights, unit: float, out: TextIO) -> np.ndarray:
    """Write the requested files, and return the index of the best hypothesis of each utterance."""
    nbest, scores = scored.nbest, total_scores(scored.rows, weights.vector())
    chosen = best_hypotheses(scores, nbest.starts)
    if arguments.out is not None:
        write_output(arguments.out, best_text(nbest, chosen), out)
    if arguments.out_nbest is not None:
        order = ranked_hypotheses(scores, nbest.starts)
        text = nbest_text(nbest, order, lm_scores=scored.lm_log_probs / unit, totals=scores / unit)
        write_output(arguments.out_nbest, text, out)
    return chosen


def _report(scored: ScoredList, model: SentenceModel, weights: Weights, shares: Sequence[float]) -> str:
    """Return two lines on the weights, and on what was scored by which model."""
    nbest = scored.nbest
    listed = zip(weights.scores, nbest.score_names, strict=True)
    names = [scorer.name for scorer in model.scorers]
    mixed = " + ".join(f"{share:.3f} {name}" for share, name in zip(shares, names, strict=True))
    terms = [
        *((weight, name) for weight, name in listed if weight),
        (weights.lm_weight, f"log P({mixed if names[1:] else names[0]})"),
    ]
    total = " + ".join(f"{weight:.6g} · {name}" for weight, name in [*terms, (weights.word_penalty, "words")])
    impossible = f"{scored.impossible:,} with probability 0; " if scored.impossible else ""
    return (
        f"total = {total}\n"
        f"{len(nbest):,} hypotheses of {len(nbest.ids):,} utterances, {len(nbest.texts):,} texts, {scored.tokens:,} "
        f"tokens; {scored.oov:,} OOV; {impossible}{model.vocabulary.describe()}; {scored.seconds:.1f} s, "
        f"{len(nbest) / scored.seconds:,.0f} hypotheses a second"
    )


def _summary(scored: ScoredList, model: SentenceModel, weights: Weights, shares: Sequence[float]) -> dict[str, Any]:
    nbest = scored.nbest
    return {
        "list": nbest.path,
        "format": nbest.format,
        "utterances": len(nbest.ids),
        "hypotheses": len(nbest),
        "texts": len(nbest.texts),
        "tokens": scored.tokens,
        "oov": scored.oov,
        "without_probability": scored.impossible,
        "policy": model.vocabulary.describe(),
        "models": {scorer.name: share for scorer, share in zip(model.scorers, shares, strict=True)},
        "scores": list(nbest.score_names),
        "score_weights": list(weights.scores),
        "lm_weight": weights.lm_weight,
        "word_penalty": weights.word_penalty,
        "seconds": scored.seconds,
        "hypotheses_per_second": len(nbest) / scored.seconds,
    }
