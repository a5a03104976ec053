"""Format rescored n-best lists as text, in the formats that ``nbest_reading`` reads."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.evaluation.rescoring.line_formats import JSON_LINES, MOSES
from rnnlm_jax.evaluation.rescoring.nbest import NbestList

#: Name of the language model's score; a second one is called lm2.
LM = "lm"


def best_text(nbest: NbestList, chosen: Int[np.ndarray, "U"]) -> str:
    """Return lines ``id<TAB>text`` of the chosen hypothesis of each utterance, in the format of references."""
    texts = (nbest.texts[i] for i in nbest.text[chosen].tolist())
    return "".join(f"{name}\t{text}\n" for name, text in zip(nbest.ids, texts, strict=True))


def nbest_text(
    nbest: NbestList,
    order: Int[np.ndarray, "N"],
    *,
    lm_scores: Float[np.ndarray, "N"],
    totals: Float[np.ndarray, "N"],
) -> str:
    """Return the list in a new order, with the language model's score after its own scores.

    In a Moses list the totals replace its own, in JSON lines they are added as ``total``; a Kaldi list is written with
    tabs.

    Args:
        nbest: n-best list.
        order: indices of the hypotheses.
        lm_scores: ``log P`` of each hypothesis, in the unit of the list's scores.
        totals: total score of each hypothesis, in the same unit.
    """
    lines = {MOSES: _moses_lines, JSON_LINES: _json_lines}.get(nbest.format, _tab_lines)
    return "".join(f"{line}\n" for line in lines(nbest, order.tolist(), lm_scores, totals))


def _tab_lines(nbest: NbestList, order: list[int], lm_scores: np.ndarray, totals: np.ndarray) -> Iterator[str]:
    utterances = nbest.utterances
    for i in order:
        scores = ",".join([*map(_formatted, nbest.scores[i].tolist()), f"{lm_scores[i]:.6f}"])
        yield f"{nbest.ids[utterances[i]]}\t{scores}\t{nbest.texts[nbest.text[i]]}"


def _moses_lines(nbest: NbestList, order: list[int], lm_scores: np.ndarray, totals: np.ndarray) -> Iterator[str]:
    utterances = nbest.utterances
    names = nbest.score_names[:-1] if nbest.score_names[-1] == "total" else nbest.score_names
    for i in order:
        words, last = [], None
        for name, score in zip(names, nbest.scores[i].tolist(), strict=False):
            words += [_formatted(score)] if name == last else [f"{name}=", _formatted(score)]
            last = name
        features = " ".join([*words, f"{_new_name(names)}=", f"{lm_scores[i]:.6f}"])
        yield f"{nbest.ids[utterances[i]]} ||| {nbest.texts[nbest.text[i]]} ||| {features} ||| {totals[i]:.6f}"


def _json_lines(nbest: NbestList, order: list[int], lm_scores: np.ndarray, totals: np.ndarray) -> Iterator[str]:
    utterances, new = nbest.utterances, _new_name(nbest.score_names)
    for i in order:
        scores = dict(zip(nbest.score_names, nbest.scores[i].tolist(), strict=True)) | {new: _rounded(lm_scores[i])}
        line = {"id": nbest.ids[utterances[i]], "scores": scores, "total": _rounded(totals[i])}
        yield json.dumps(line | {"text": nbest.texts[nbest.text[i]]}, ensure_ascii=False, allow_nan=False)


def _new_name(names: Sequence[str]) -> str:
    """Return a name for the language model's score that is not in ``names``."""
    return next(name for k in count(1) if (name := LM if k == 1 else f"{LM}{k}") not in names)


def _rounded(score: float) -> float | None:
    """Return a score for JSON: rounded, or None if it is not finite."""
    return round(float(score), 6) if math.isfinite(score) else None


def _formatted(score: float) -> str:
    """Return a score of the list without loss, whole numbers without decimals."""
    return repr(score).removesuffix(".0")
