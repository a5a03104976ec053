"""Word errors of hypotheses: substitutions, insertions and deletions of an alignment of least Levenshtein distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.data import split_words
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.rescoring.nbest import NbestList

#: Hypotheses aligned at a time.
CHUNK = 4096
#: Cost of an error; a substitution costs 1 more, which decides between alignments with equally many errors.
ERROR_COST = 2**24


class Alignments(NamedTuple):
    """Errors of each of N hypotheses against its reference."""

    substitutions: Int[np.ndarray, "N"]
    insertions: Int[np.ndarray, "N"]
    deletions: Int[np.ndarray, "N"]

    @property
    def errors(self) -> Int[np.ndarray, "N"]:
        """Errors of all kinds."""
        return self.substitutions + self.insertions + self.deletions


class ListErrors(NamedTuple):
    """Errors of an n-best list of N hypotheses for U utterances."""

    alignments: Alignments
    reference_words: Int[np.ndarray, "U"]
    """Number of words in the reference of each utterance."""


@dataclass(frozen=True)
class WordErrors:
    """Word errors of a whole text."""

    substitutions: int
    insertions: int
    deletions: int
    words: int
    """Number of words in the references."""

    @property
    def errors(self) -> int:
        """Errors of all kinds."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """``(S + I + D) / words``, which may exceed 1; NaN without words."""
        return self.errors / self.words if self.words else float("nan")


def word_errors(hypotheses: Sequence[str], references: Sequence[str], reference_of: Int[np.ndarray, "N"]) -> Alignments:
    """Align each hypothesis with its reference at least Levenshtein distance.

    White space separates words, and words are equal if all their characters are. Of alignments with equally many
    errors, the one with the fewest substitutions counts, which has the most correct words: as in NIST's sclite, two
    substitutions cost more than an insertion and a deletion. The counts minimise ``(S + I + D, S)``, so they do not
    depend on an order of steps.

    Args:
        hypotheses: N texts.
        references: texts.
        reference_of: index of the reference of each hypothesis.
    """
    ids: dict[str, int] = {}
    reference_ids = [_word_ids(text, ids) for text in references]
    costs = np.empty(len(hypotheses), np.int64)
    lengths = np.empty(len(hypotheses), np.int64)
    for start in range(0, len(hypotheses), CHUNK):
        hypothesis_ids = [_word_ids(text, ids) for text in hypotheses[start : start + CHUNK]]
        lengths[start : start + CHUNK] = [words.size for words in hypothesis_ids]
        costs[start : start + CHUNK] = _alignment_costs(
            hypothesis_ids, [reference_ids[i] for i in reference_of[start : start + CHUNK]]
        )
    errors, substitutions = np.divmod(costs, ERROR_COST)
    reference_lengths = np.array([words.size for words in reference_ids], np.int64)[reference_of]
    # I + D and I − D are known.
    insertions = (errors - substitutions + lengths - reference_lengths) // 2
    return Alignments(substitutions, insertions, errors - substitutions - insertions)


def list_errors(nbest: NbestList, references: Mapping[str, str]) -> ListErrors:
    """Return the errors of every hypothesis of a list.

    Args:
        nbest: n-best list.
        references: text of each utterance, by its id.

    Raises:
        DataError: if an utterance has no reference.
    """
    missing = [name for name in nbest.ids if name not in references]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(nbest.ids):,} utterances of {nbest.path} have no reference, the first is "
            f"{missing[0]!r}: give all of them"
        )
    reference_texts = [references[name] for name in nbest.ids]
    # Hypotheses of one utterance with the same text are aligned once.
    pairs, inverse = np.unique(nbest.utterances * len(nbest.texts) + nbest.text, return_inverse=True)
    utterances, texts = np.divmod(pairs, len(nbest.texts))
    alignments = word_errors([nbest.texts[i] for i in texts.tolist()], reference_texts, utterances)
    words = np.array([len(split_words(text)) for text in reference_texts], np.int64)
    return ListErrors(Alignments(*(counts[inverse] for counts in alignments)), words)


def total_errors(errors: ListErrors, chosen: Int[np.ndarray, "U"]) -> WordErrors:
    """Return the summed errors of the chosen hypotheses, one for each utterance."""
    substitutions, insertions, deletions = (int(counts[chosen].sum()) for counts in errors.alignments)
    return WordErrors(substitutions, insertions, deletions, int(errors.reference_words.sum()))


def _word_ids(text: str, ids: dict[str, int]) -> np.ndarray:
    """Return the id of each word; new words are added to ``ids``."""
    return np.array([ids.setdefault(word, len(ids)) for word in split_words(text)], np.int32)


def _alignment_costs(hypotheses: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> np.ndarray:
    """Return the minimum of ``ERROR_COST · (S + I + D) + S`` of each pair.

    The table of distances is computed row by row, a row for each word of the references, for all pairs at once.
    Insertions, ``d_j = min_{k ≤ j} (d'_k + (j − k) · ERROR_COST)``, are a running minimum.
    """
    heard, spoken = _padded(hypotheses, -1), _padded(references, -2)
    hypothesis_lengths = np.fromiter(map(len, hypotheses), np.int64, len(hypotheses))
    reference_lengths = np.fromiter(map(len, references), np.int64, len(references))
    insertion_costs = ERROR_COST * np.arange(heard.shape[1] + 1)
    row = np.tile(insertion_costs, (len(heard), 1))
    costs = ERROR_COST * hypothesis_lengths
    pairs = np.arange(len(heard))
    for i in range(spoken.shape[1]):
        new = row + ERROR_COST
        np.minimum(new[:, 1:], row[:, :-1] + (ERROR_COST + 1) * (heard != spoken[:, i, None]), out=new[:, 1:])
        row = np.minimum.accumulate(new - insertion_costs, axis=1) + insertion_costs
        costs = np.where(reference_lengths == i + 1, row[pairs, hypothesis_lengths], costs)
    return costs


def _padded(rows: Sequence[np.ndarray], filler: int) -> np.ndarray:
    """Return the rows as one matrix, filled up at the right."""
    matrix = np.full((len(rows), max((row.size for row in rows), default=0)), filler, np.int32)
    for i, row in enumerate(rows):
        matrix[i, : row.size] = row
    return matrix
