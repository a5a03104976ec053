"""N-best lists: for each utterance some hypotheses, each a text with scores."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.data import split_words
from rnnlm_jax.errors import UserError


class Hypothesis(NamedTuple):
    """One line of a list."""

    utterance: str
    scores: tuple[float, ...]
    text: str


@dataclass(frozen=True, eq=False)
class NbestList:
    """N hypotheses of U utterances; those of an utterance stand together, in the order of the file.

    Attributes:
        path: the file, for messages.
        format: how it was written; see ``reading``.
        score_names: K names of scores.
        ids: of the utterances, in the order in which the file first names them.
        starts: int64 ``[U + 1]``, where the hypotheses of each begin, and N.
        texts: the distinct texts, in the order of the file.
        text: int32 ``[N]``, which text each hypothesis is.
        scores: float64 ``[N, K]``, as the file has them.
    """

    path: str
    format: str
    score_names: tuple[str, ...]
    ids: tuple[str, ...]
    starts: Int[np.ndarray, "U+1"]
    texts: tuple[str, ...]
    text: Int[np.ndarray, "N"]
    scores: Float[np.ndarray, "N K"]

    def __len__(self) -> int:
        """The number of hypotheses."""
        return self.text.size

    @property
    def utterances(self) -> Int[np.ndarray, "N"]:
        """Which utterance each hypothesis is of."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.starts))

    def words(self) -> Int[np.ndarray, "N"]:
        """How many words, which white space separates, each hypothesis has."""
        lengths = np.fromiter((len(split_words(text)) for text in self.texts), np.int64, len(self.texts))
        return lengths[self.text]


def collect(
    hypotheses: Iterable[Hypothesis], path: str, list_format: str, score_names: Iterable[str] | None = None
) -> NbestList:
    """A list out of its lines; the hypotheses of an utterance may stand apart in the file.

    Raises:
        UserError: if there is none.
    """
    numbers: dict[str, int] = {}
    places: dict[str, int] = {}
    utterance, text, scores = array("i"), array("i"), array("d")
    width = 0
    for each in hypotheses:
        utterance.append(numbers.setdefault(each.utterance, len(numbers)))
        text.append(places.setdefault(each.text, len(places)))
        scores.extend(each.scores)
        width = len(each.scores)
    if not utterance:
        raise UserError(f"{path} holds no hypotheses: give a file with one a line")
    of = np.array(utterance, np.int32)
    order = np.argsort(of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=len(numbers)))])
    names = tuple(score_names or ()) or tuple(f"score {k}" for k in range(1, width + 1))
    table = np.array(scores).reshape(of.size, width)
    return NbestList(
        path, list_format, names, tuple(numbers), starts, tuple(places), np.array(text, np.int32)[order], table[order]
    )
