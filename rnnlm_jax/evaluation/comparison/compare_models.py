"""Models on one text, and their mixtures with weights fitted on another."""

import math
from collections.abc import Sequence

import numpy as np

from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.comparison_table import FittedMixture, Row, Table, best_first
from rnnlm_jax.evaluation.comparison.mixture import Mixture, fit_weights, mixture_nll
from rnnlm_jax.evaluation.comparison.same_vocabulary import require_same_vocabulary
from rnnlm_jax.evaluation.comparison.scorer import Scorer
from rnnlm_jax.evaluation.comparison.timed_scoring import Bar, Measured, measure


def compare(
    scorers: Sequence[Scorer],
    data: str,
    text: EncodedText,
    bar: Bar,
    mixes: Sequence[Sequence[str]] = (),
    tune: str = "",
    tune_text: EncodedText | None = None,
    unlisted: Sequence[Scorer] = (),
) -> Table:
    """Score a text by every model, and by mixtures of them.

    Args:
        scorers: the models, each with a row of its own.
        data: what the text is called.
        text: in the vocabulary that all models share.
        bar: makes progress bars.
        mixes: names of the models of each mixture; their weights maximise the likelihood of ``tune_text``.
        tune: what that is called.
        tune_text: in the same vocabulary.
        unlisted: models for mixtures only, such as a cache, which alone gives most words no probability.

    Raises:
        UserError: if models cannot be compared, two have one name, a mixture names a model that is not there, or
            weights would be fitted on the text that is scored.
    """
    by_name = {scorer.name: scorer for scorer in (*scorers, *unlisted)}
    if len(by_name) < len(scorers) + len(unlisted):
        raise UserError(f"two models have the same name: {', '.join(each.name for each in (*scorers, *unlisted))}")
    require_same_vocabulary(list(by_name.values()))
    for names in mixes:
        _check_mix(names, list(by_name))
    if mixes:
        if tune_text is None:
            raise UserError("a mixture needs a text to fit its weights on: give --tune, such as ptb:valid")
        if np.array_equal(tune_text.tokens, text.tokens):
            raise UserError(f"mixture weights fitted on {tune} would be tested on the same text: give another --tune")
    needed = [name for name in by_name if any(name in names for names in mixes)]
    tuning = {name: measure(by_name[name], tune_text, f"{name} on {tune}", bar) for name in needed if tune_text}
    listed = {scorer.name for scorer in scorers}
    found = {
        name: measure(scorer, text, f"{name} on {data}", bar)
        for name, scorer in by_name.items()
        if name in listed or name in needed
    }
    rows = [_row(scorer, found[scorer.name]) for scorer in scorers]
    mixtures = []
    for names in mixes:
        fitted = fit_weights(np.stack([tuning[name].nats for name in names]))
        mixed = Mixture(" + ".join(names), tuple(by_name[name] for name in names), tuple(fitted.weights.tolist()))
        parts = [found[name] for name in names]
        nats = mixture_nll(np.stack([part.nats for part in parts]), fitted.weights)
        speed = 1 / sum(1 / part.tokens_per_second for part in parts)
        rows.append(_row(mixed, Measured(nats, sum(part.seconds for part in parts), speed)))
        mixtures.append(FittedMixture(mixed.name, tuple(names), fitted, tune))
    policy = scorers[0].vocabulary.describe()
    if text.lossy_lines:
        policy += f"; {text.lossy_lines:,} lines do NOT come back from their tokens"
    return Table(data, len(text), text.oov, policy, best_first(rows), tuple(mixtures))


def _check_mix(names: Sequence[str], known: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name not in known:
            raise UserError(f"there is no model {name!r} to mix: there are {', '.join(known)}")
        if name in names[:place]:
            raise UserError(f"{name} is twice in one mixture: name each model once")
    if len(names) < 2:
        raise UserError(f"a mixture needs two models or more, not {', '.join(names) or 'none'} alone")


def _row(scorer: Scorer, measured: Measured) -> Row:
    about = scorer.about
    return Row(
        name=scorer.name,
        kind=about.kind,
        nats=math.fsum(measured.nats),
        tokens=measured.nats.size,
        parameters=scorer.parameter_count,
        training_seconds=about.training_seconds,
        training_tokens_per_second=about.training_tokens_per_second,
        scoring_tokens_per_second=measured.tokens_per_second,
        horizon=about.horizon,
    )
