"""Rescored lists as text, in the formats that ``reading`` reads."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np

from rnnlm_jax.evaluation.rescoring.line_formats import JSON_LINES, MOSES
from rnnlm_jax.evaluation.rescoring.nbest import NbestList

#: What the language model's score is called where scores have names; the second one is called lm2.
LM = "lm"


def best_text(nbest: NbestList, chosen: np.ndarray) -> str:
    """``id<TAB>text`` of one hypothesis an utterance, in the order of the list: what references look like."""
    texts = (nbest.texts[i] for i in nbest.text[chosen].tolist())
    return "".join(f"{name}\t{text}\n" for name, text in zip(nbest.ids, texts, strict=True))


def nbest_text(nbest: NbestList, order: np.ndarray, lm_scores: np.ndarray, totals: np.ndarray) -> str:
    """The list in another order, with one more score, the language model's, after those that it had.

    A Moses list has the new totals in place of its own, and JSON lines have them as ``total``; a Kaldi list is written
    with tabs.

    Args:
        nbest: the list.
        order: ``[N]``, places.
        lm_scores: ``log P`` of each hypothesis, ``[N]``, as the list has its scores: in their base, or as costs.
        totals: ``[N]``, likewise.
    """
    write = {MOSES: _moses, JSON_LINES: _json_lines}.get(nbest.format, _tabs)
    return "".join(f"{line}\n" for line in write(nbest, order.tolist(), lm_scores, totals))


def _tabs(nbest: NbestList, order: list[int], lm_scores: np.ndarray, totals: np.ndarray) -> Iterator[str]:
    utterances = nbest.utterances
    for i in order:
        scores = ",".join([*map(_shown, nbest.scores[i].tolist()), f"{lm_scores[i]:.6f}"])
        yield f"{nbest.ids[utterances[i]]}\t{scores}\t{nbest.texts[nbest.text[i]]}"


def _moses(nbest: NbestList, order: list[int], lm_scores: np.ndarray, totals: np.ndarray) -> Iterator[str]:
    utterances = nbest.utterances
    names = nbest.score_names[:-1] if nbest.score_names[-1] == "total" else nbest.score_names
    for i in order:
        words, last = [], None
        for name, score in zip(names, nbest.scores[i].tolist(), strict=False):
            words += [_shown(score)] if name == last else [f"{name}=", _shown(score)]
            last = name
        shown = " ".join([*words, f"{_new_name(names)}=", f"{lm_scores[i]:.6f}"])
        yield f"{nbest.ids[utterances[i]]} ||| {nbest.texts[nbest.text[i]]} ||| {shown} ||| {totals[i]:.6f}"


def _json_lines(nbest: NbestList, order: list[int], lm_scores: np.ndarray, totals: np.ndarray) -> Iterator[str]:
    utterances, new = nbest.utterances, _new_name(nbest.score_names)
    for i in order:
        scores = dict(zip(nbest.score_names, nbest.scores[i].tolist(), strict=True)) | {new: _rounded(lm_scores[i])}
        line = {"id": nbest.ids[utterances[i]], "scores": scores, "total": _rounded(totals[i])}
        yield json.dumps(line | {"text": nbest.texts[nbest.text[i]]}, ensure_ascii=False, allow_nan=False)


def _new_name(names: Sequence[str]) -> str:
    """What the language model's score is called beside scores of these names: none of theirs is lost."""
    return next(name for k in count(1) if (name := LM if k == 1 else f"{LM}{k}") not in names)


def _rounded(score: float) -> float | None:
    """What JSON can say of a score."""
    return round(float(score), 6) if math.isfinite(score) else None


def _shown(score: float) -> str:
    return repr(score).removesuffix(".0")
