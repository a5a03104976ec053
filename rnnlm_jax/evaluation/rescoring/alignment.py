"""Word errors of hypotheses: substitutions, insertions and deletions of an alignment of least distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.data import split_words
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.rescoring.nbest import NbestList

#: Hypotheses aligned at a time.
CHUNK = 4096
#: An error costs this much, so that substitutions decide between alignments of as many errors.
ERROR = 2**24


class Alignments(NamedTuple):
    """Errors of each of N hypotheses against its reference."""

    substitutions: Int[np.ndarray, "N"]
    insertions: Int[np.ndarray, "N"]
    deletions: Int[np.ndarray, "N"]

    @property
    def errors(self) -> Int[np.ndarray, "N"]:
        """All of them."""
        return self.substitutions + self.insertions + self.deletions


@dataclass(frozen=True)
class WordErrors:
    """The errors of a whole text, and how many words it should have had."""

    substitutions: int
    insertions: int
    deletions: int
    words: int

    @property
    def errors(self) -> int:
        """Of all kinds."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """``(S + I + D) / words``, which may exceed 1; NaN without words."""
        return self.errors / self.words if self.words else float("nan")


def word_errors(hypotheses: Sequence[str], references: Sequence[str], which: Int[np.ndarray, "N"]) -> Alignments:
    """Align each hypothesis with its reference at least Levenshtein distance.

    Words are what white space separates, equal if they are the same letters. Where several alignments have as many
    errors, that with the fewest substitutions counts, which is that with the most words right: as in NIST's sclite two
    substitutions are dearer than an insertion and a deletion. So the counts are those of the alignment that minimises
    ``(S + I + D, S)``, and no order of steps decides anything.

    Args:
        hypotheses: texts.
        references: texts.
        which: of which reference each hypothesis is.
    """
    numbers: dict[str, int] = {}
    spoken = [_numbered(text, numbers) for text in references]
    costs = np.empty(len(hypotheses), np.int64)
    lengths = np.empty(len(hypotheses), np.int64)
    for start in range(0, len(hypotheses), CHUNK):
        found = [_numbered(text, numbers) for text in hypotheses[start : start + CHUNK]]
        lengths[start : start + CHUNK] = [words.size for words in found]
        costs[start : start + CHUNK] = _costs(found, [spoken[i] for i in which[start : start + CHUNK]])
    errors, substitutions = np.divmod(costs, ERROR)
    wanted = np.array([words.size for words in spoken], np.int64)[which]
    # I + D and I − D are known.
    insertions = (errors - substitutions + lengths - wanted) // 2
    return Alignments(substitutions, insertions, errors - substitutions - insertions)


def list_errors(nbest: NbestList, references: Mapping[str, str]) -> tuple[Alignments, Int[np.ndarray, "U"]]:
    """The errors of every hypothesis of a list, and how many words each utterance should have.

    Raises:
        UserError: if an utterance has no reference.
    """
    missing = [name for name in nbest.ids if name not in references]
    if missing:
        raise UserError(
            f"{len(missing):,} of {len(nbest.ids):,} utterances of {nbest.path} have no reference, the first is "
            f"{missing[0]!r}: give all of them"
        )
    spoken = [references[name] for name in nbest.ids]
    # One alignment for hypotheses of one utterance that are the same text.
    utterances = nbest.utterances
    pairs, inverse = np.unique(utterances * len(nbest.texts) + nbest.text, return_inverse=True)
    which, texts = np.divmod(pairs, len(nbest.texts))
    found = word_errors([nbest.texts[i] for i in texts.tolist()], spoken, which)
    words = np.array([len(split_words(text)) for text in spoken], np.int64)
    return Alignments(*(counts[inverse] for counts in found)), words


def total_errors(alignments: Alignments, chosen: Int[np.ndarray, "U"], words: Int[np.ndarray, "U"]) -> WordErrors:
    """The errors of one hypothesis an utterance."""
    substitutions, insertions, deletions = (int(counts[chosen].sum()) for counts in alignments)
    return WordErrors(substitutions, insertions, deletions, int(words.sum()))


def _numbered(text: str, numbers: dict[str, int]) -> np.ndarray:
    return np.array([numbers.setdefault(word, len(numbers)) for word in split_words(text)], np.int32)


def _costs(hypotheses: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> np.ndarray:
    """``ERROR · (S + I + D) + S`` at its least, of each pair.

    A row of the table of distances a word of the references, for all pairs at once. What insertions do to a row,
    ``d_j = min_{k ≤ j} (d'_k + (j − k) · ERROR)``, is a running minimum.
    """
    heard, spoken = _padded(hypotheses, -1), _padded(references, -2)
    ends = np.fromiter(map(len, hypotheses), np.int64, len(hypotheses))
    stops = np.fromiter(map(len, references), np.int64, len(references))
    inserted = ERROR * np.arange(heard.shape[1] + 1)
    row = np.tile(inserted, (len(heard), 1))
    costs = ERROR * ends
    everyone = np.arange(len(heard))
    for i in range(spoken.shape[1]):
        new = row + ERROR
        np.minimum(new[:, 1:], row[:, :-1] + (ERROR + 1) * (heard != spoken[:, i, None]), out=new[:, 1:])
        row = np.minimum.accumulate(new - inserted, axis=1) + inserted
        costs = np.where(stops == i + 1, row[everyone, ends], costs)
    return costs


def _padded(rows: Sequence[np.ndarray], filler: int) -> np.ndarray:
    table = np.full((len(rows), max((row.size for row in rows), default=0)), filler, np.int32)
    for place, row in enumerate(rows):
        table[place, : row.size] = row
    return table
