"""N-best lists: several hypotheses for each utterance, each a text with scores."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.data import split_words
from rnnlm_jax.errors import DataError


class Hypothesis(NamedTuple):
    """One line of a list."""

    utterance: str
    scores: tuple[float, ...]
    text: str


@dataclass(frozen=True, eq=False)
class NbestList:
    """N hypotheses for U utterances; the hypotheses of an utterance are adjacent, in the order of the file.

    Attributes:
        path: file, for messages.
        format: format of the file; see ``nbest_reading``.
        score_names: names of the K scores.
        ids: names of the utterances, in the order in which the file first mentions them.
        starts: int64 ``[U + 1]``, index of the first hypothesis of each utterance, and N.
        texts: distinct texts, in the order of the file.
        text: int32 ``[N]``, index of the text of each hypothesis.
        scores: float64 ``[N, K]``, as in the file.
    """

    path: str
    format: str
    score_names: tuple[str, ...]
    ids: tuple[str, ...]
    starts: Int[np.ndarray, "offsets"]
    texts: tuple[str, ...]
    text: Int[np.ndarray, "N"]
    scores: Float[np.ndarray, "N K"]

    def __len__(self) -> int:
        """Return the number of hypotheses."""
        return self.text.size

    @property
    def utterances(self) -> Int[np.ndarray, "N"]:
        """Index of the utterance of each hypothesis."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.starts))

    def word_counts(self) -> Int[np.ndarray, "N"]:
        """Return the number of words, which white space separates, of each hypothesis."""
        lengths = np.fromiter((len(split_words(text)) for text in self.texts), np.int64, len(self.texts))
        return lengths[self.text]


def collect(
    hypotheses: Iterable[Hypothesis], path: str, list_format: str, *, score_names: Iterable[str] | None = None
) -> NbestList:
    """Return the list of given hypotheses; those of an utterance need not be adjacent.

    Args:
        hypotheses: at least one, with equally many scores.
        path: file, for messages.
        list_format: format of the file.
        score_names: names of the scores; "score 1" … by default.

    Raises:
        DataError: if ``hypotheses`` is empty.
    """
    utterance_ids: dict[str, int] = {}
    text_ids: dict[str, int] = {}
    utterances, texts, scores = array("i"), array("i"), array("d")
    width = 0
    for hypothesis in hypotheses:
        utterances.append(utterance_ids.setdefault(hypothesis.utterance, len(utterance_ids)))
        texts.append(text_ids.setdefault(hypothesis.text, len(text_ids)))
        scores.extend(hypothesis.scores)
        width = len(hypothesis.scores)
    if not utterances:
        raise DataError(f"{path} holds no hypotheses: give a file with one a line")
    utterance = np.array(utterances, np.int32)
    order = np.argsort(utterance, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(utterance, minlength=len(utterance_ids)))])
    return NbestList(
        path=path,
        format=list_format,
        score_names=tuple(score_names or ()) or tuple(f"score {k}" for k in range(1, width + 1)),
        ids=tuple(utterance_ids),
        starts=starts,
        texts=tuple(text_ids),
        text=np.array(texts, np.int32)[order],
        scores=np.array(scores).reshape(utterance.size, width)[order],
    )
