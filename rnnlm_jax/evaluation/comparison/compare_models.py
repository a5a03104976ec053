"""Compare models on one text, and mixtures of them with weights fitted on another text."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation.comparison.comparison_table import ComparisonRow, ComparisonTable, FittedMixture, best_first
from rnnlm_jax.evaluation.comparison.mixture import Mixture, fit_weights, mixture_nll
from rnnlm_jax.evaluation.comparison.same_vocabulary import require_same_vocabulary
from rnnlm_jax.evaluation.comparison.scorer import Scorer
from rnnlm_jax.evaluation.comparison.timed_scoring import TimedScores, timed_scores
from rnnlm_jax.system.progress import MakeProgressBar


class NamedText(NamedTuple):
    """Text and its name in tables."""

    name: str
    text: EncodedText


def compare(
    scorers: Sequence[Scorer],
    test: NamedText,
    *,
    make_bar: MakeProgressBar,
    mixtures: Sequence[Sequence[str]] = (),
    tuning: NamedText | None = None,
    mixture_only: Sequence[Scorer] = (),
) -> ComparisonTable:
    """Score a text by every model, and by mixtures of them.

    Args:
        scorers: models, each with a row in the table.
        test: text to score, in the vocabulary that all models share.
        make_bar: makes progress bars.
        mixtures: names of the models of each mixture.
        tuning: text whose likelihood the weights of the mixtures maximise, in the same vocabulary.
        mixture_only: models that have no row of their own, such as a cache, which gives most words no probability.

    Raises:
        DataError: if the vocabularies differ.
        ArgumentError: if two models have one name, a mixture names an unknown model, or weights would be fitted on the
            text that is scored.
    """
    by_name = {scorer.name: scorer for scorer in (*scorers, *mixture_only)}
    if len(by_name) < len(scorers) + len(mixture_only):
        names = ", ".join(scorer.name for scorer in (*scorers, *mixture_only))
        raise ArgumentError(f"two models have the same name: {names}")
    require_same_vocabulary(list(by_name.values()))
    for names in mixtures:
        _check_mixture(names, list(by_name))
    if mixtures:
        if tuning is None:
            raise ArgumentError("a mixture needs a text to fit its weights on: give `tuning`")
        if np.array_equal(tuning.text.tokens, test.text.tokens):
            raise ArgumentError(
                f"mixture weights fitted on {tuning.name} would be tested on the same text: fit them on another"
            )
    components = [name for name in by_name if any(name in names for names in mixtures)]

    def scores_of(name: str, named: NamedText) -> TimedScores:
        return timed_scores(by_name[name], named.text, f"{name} on {named.name}", make_bar)

    on_tuning = {name: scores_of(name, tuning) for name in components if tuning is not None}
    with_row = {scorer.name for scorer in scorers}
    on_test = {name: scores_of(name, test) for name in by_name if name in with_row or name in components}
    rows = [_row(scorer, on_test[scorer.name]) for scorer in scorers]
    fitted_mixtures = []
    for names in mixtures:
        fitted = fit_weights(np.stack([on_tuning[name].nll for name in names]))
        mixed = Mixture(" + ".join(names), tuple(by_name[name] for name in names), tuple(fitted.weights.tolist()))
        parts = [on_test[name] for name in names]
        nll = mixture_nll(np.stack([part.nll for part in parts]), fitted.weights)
        speed = 1 / sum(1 / part.tokens_per_second for part in parts)
        rows.append(_row(mixed, TimedScores(nll, sum(part.seconds for part in parts), speed)))
        fitted_mixtures.append(FittedMixture(mixed.name, tuple(names), fitted, tuning.name if tuning else ""))
    text, policy = test.text, scorers[0].vocabulary.describe()
    if text.lossy_lines:
        policy += f"; {text.lossy_lines:,} lines do NOT come back from their tokens"
    return ComparisonTable(test.name, len(text), text.oov, policy, best_first(rows), tuple(fitted_mixtures))


def _check_mixture(names: Sequence[str], available: Sequence[str]) -> None:
    """Check that the names are distinct and available, and at least two."""
    for position, name in enumerate(names):
        if name not in available:
            raise ArgumentError(f"no model {name!r} to mix: choose from {', '.join(available)}")
        if name in names[:position]:
            raise ArgumentError(f"{name} is twice in one mixture: name each model once")
    if len(names) < 2:
        raise ArgumentError(f"a mixture needs two models or more, not {', '.join(names) or 'none'} alone")


def _row(scorer: Scorer, scores: TimedScores) -> ComparisonRow:
    info = scorer.info
    return ComparisonRow(
        name=scorer.name,
        kind=info.kind,
        nll=math.fsum(scores.nll),
        tokens=scores.nll.size,
        parameters=scorer.parameter_count,
        training_seconds=info.training_seconds,
        training_tokens_per_second=info.training_tokens_per_second,
        scoring_tokens_per_second=scores.tokens_per_second,
        horizon=info.horizon,
    )
