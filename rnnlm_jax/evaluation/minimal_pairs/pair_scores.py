"""Probabilities of both sides of every minimal pair, by any language model."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.array_types import Bool, Float, Int
from rnnlm_jax.data import EncodedText, Vocabulary, require_in_vocabulary
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.comparison import Scorer
from rnnlm_jax.evaluation.minimal_pairs.pair import WORD, Contrast, PairSet, require_unit
from rnnlm_jax.evaluation.minimal_pairs.vocabulary_text import AUTO, VocabularyText, text_rules
from rnnlm_jax.evaluation.rescoring import SentenceModel
from rnnlm_jax.system.progress import MakeProgressBar

#: Levels at which the space after a word is compared with it: otherwise "is" would be part of "isn't".
SPELLED = ("char", "byte")


@dataclass(frozen=True, eq=False)
class PairScores:
    """Probabilities of the P pairs of a set that can be compared."""

    model: Scorer
    data: PairSet
    unit: str
    """``SENTENCE`` or ``WORD``."""
    context: int | None
    """Number of words before the compared one that the model read; None for all."""
    text: str
    """How the text was written for the vocabulary."""
    indices: Int[np.ndarray, "P"]
    """Index of each pair in ``data.pairs``; at one word, pairs without a contrast are left out."""
    good_nll: Float[np.ndarray, "P"]
    """``-ln P`` of the acceptable side in nats."""
    bad_nll: Float[np.ndarray, "P"]
    unknown: Bool[np.ndarray, "P"]
    """Whether the model reads or predicts an unknown word on either side."""
    unknown_compared: Bool[np.ndarray, "P"]
    """Whether a word in which the sides differ is unknown."""
    seconds: float

    @property
    def differences(self) -> Float[np.ndarray, "P"]:
        """``ln P(good) - ln P(bad)`` of each pair; NaN where both are 0."""
        with np.errstate(invalid="ignore"):
            return self.bad_nll - self.good_nll


def score_pairs(
    scorer: Scorer,
    data: PairSet,
    *,
    make_bar: MakeProgressBar,
    unit: str | None = None,
    context: int | None = None,
    tokenize: str = AUTO,
    case: str = AUTO,
) -> PairScores:
    """Score both sides of every pair.

    A whole sentence is read from the initial state, after an end of line, and its own end of line is scored if the
    vocabulary has one. At one word, ``P(word | prefix)`` is the probability of the word's tokens after the prefix,
    read from the initial state; at the character and byte level the space after it belongs to it. The prefix that both
    sides share is read once. Sums do not depend on the order of the tokens, so that a tie is found.

    Args:
        scorer: model.
        data: pairs.
        make_bar: makes a progress bar.
        unit: ``SENTENCE`` or ``WORD``; None: what published figures of the data compare.
        context: at one word, the number of words before it that are read; None: all.
        tokenize: see ``text_rules``.
        case: see ``text_rules``.

    Raises:
        ArgumentError: if an option has an impossible value, or ``context`` is given for whole sentences.
        DataError: if no pair can be compared at one word, no word is in the vocabulary, a word is unknown and the
            vocabulary has no unknown token, or the model gives NaN.
    """
    unit = data.default_unit if unit is None else unit
    require_unit(unit)
    if context is not None and (unit != WORD or context < 0):
        raise ArgumentError("`context` is a number of words before one word, 0 or more: it needs `unit` word")
    write = text_rules(scorer.vocabulary, tokenize=tokenize, case=case)
    sides = _words(data, write, context) if unit == WORD else _sentences(data, write)
    model = SentenceModel([scorer])
    text = require_in_vocabulary(model.encode(sides.lines), scorer.vocabulary, data.name)
    began = time.perf_counter()
    with make_bar(scorer.name, len(text)) as bar:
        nll = model.token_nll(text, bar.update)[0]
    if not (nll >= -1e-3).all():
        raise DataError(f"{scorer.name} gives a token of {data.name} no probability but NaN: train it anew")
    first, stop = _compared(text, sides, scorer.vocabulary)
    sums = np.array([math.fsum(nll[a:b]) for a, b in zip(first.tolist(), stop.tolist(), strict=True)])
    unknown = _unknown(text, scorer.vocabulary)
    starts = np.concatenate([[0], text.line_ends[:-1]])
    has_unknown = np.array([unknown[a:b].any() for a, b in zip(starts, text.line_ends, strict=True)], bool)
    differs = [_differs(text.tokens, unknown, first[k : k + 2], stop[k : k + 2]) for k in range(0, first.size, 2)]
    return PairScores(
        model=scorer,
        data=data,
        unit=unit,
        context=context,
        text=write.description,
        indices=sides.indices,
        good_nll=sums[::2],
        bad_nll=sums[1::2],
        unknown=has_unknown[::2] | has_unknown[1::2],
        unknown_compared=np.array(differs, bool),
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True, eq=False)
class _Sides:
    """Lines to score, the good and the bad side of each pair in turn."""

    lines: list[str]
    prefixes: list[str] | None
    """The part of each line that is only read; None if all of it is compared, and its end."""
    indices: Int[np.ndarray, "P"]


def _sentences(data: PairSet, write: VocabularyText) -> _Sides:
    """Return whole sentences."""
    lines = [write(sentence) for pair in data.pairs for sentence in (pair.good, pair.bad)]
    return _Sides(lines, None, np.arange(len(data.pairs)))


def _words(data: PairSet, write: VocabularyText, context: int | None) -> _Sides:
    """Return prefixes with the compared words."""
    found = [(index, pair.contrast) for index, pair in enumerate(data.pairs) if pair.contrast is not None]
    if not found:
        raise DataError(
            f"no pair of {data.name} can be compared at one word: compare whole sentences with `unit` sentence"
        )
    after = " " if write.vocabulary.level in SPELLED else ""
    prefixes = [prefix for _, contrast in found for prefix in _prefixes(contrast, write, context)]
    words = [write(word) for _, contrast in found for word in (contrast.good, contrast.bad)]
    lines = [f"{prefix} {word}{after}".lstrip(" ") for prefix, word in zip(prefixes, words, strict=True)]
    return _Sides(lines, prefixes, np.array([index for index, _ in found]))


def _prefixes(contrast: Contrast, write: VocabularyText, context: int | None) -> Sequence[str]:
    """Return both prefixes, or their last words."""
    written = [write(prefix) for prefix in (contrast.good_prefix, contrast.bad_prefix)]
    if context is None:
        return written
    return [" ".join(prefix.split(" ")[-context:] if context else []) for prefix in written]


def _compared(text: EncodedText, sides: _Sides, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Return where the compared tokens of each line begin and stop."""
    starts = np.concatenate([[0], text.line_ends[:-1]])
    if sides.prefixes is None:
        return starts, text.line_ends
    prefixes = [vocabulary.encode_line(prefix) for prefix in sides.prefixes]
    # A tokenizer of subwords may join the end of a prefix with the word after it.
    shared = [_common(np.array(prefix, np.int64), line) for prefix, line in zip(prefixes, text.lines(), strict=True)]
    return starts + np.array(shared), text.line_ends - (vocabulary.eos_id is not None)


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Return the number of tokens at the beginning that two lines have in common."""
    length = min(one.size, other.size)
    different = np.flatnonzero(one[:length] != other[:length])
    return int(different[0]) if different.size else length


def _unknown(text: EncodedText, vocabulary: Vocabulary) -> np.ndarray:
    """Return which tokens are the unknown token."""
    return np.zeros(len(text), bool) if vocabulary.unk_id is None else text.tokens == vocabulary.unk_id


def _differs(tokens: np.ndarray, unknown: np.ndarray, first: np.ndarray, stop: np.ndarray) -> bool:
    """Return whether, of two sides, tokens between their common beginning and their common end are unknown.

    Sides with the same tokens differ in unknown words only.
    """
    good, bad = (slice(int(a), int(b)) for a, b in zip(first, stop, strict=True))
    before = _common(tokens[good], tokens[bad])
    length = min(tokens[good].size, tokens[bad].size)
    after = min(_common(tokens[good][::-1], tokens[bad][::-1]), length - before)
    if before == tokens[good].size == tokens[bad].size:
        return bool(unknown[good].any())
    return any(bool(unknown[side][before : unknown[side].size - after].any()) for side in (good, bad))
