"""Minimal pairs: two sentences that differ in one point of grammar, of which a model should prefer the first."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from rnnlm_jax.data import split_words
from rnnlm_jax.errors import ArgumentError

#: What is compared: probabilities of whole sentences, or of the words in which they differ, given the words before.
SENTENCE, WORD = "sentence", "word"
UNITS = (SENTENCE, WORD)

#: Meaning of a pair's distance where the data mark the dependency.
DEPENDENCY = "words from the beginning of the dependency to its end"
#: Meaning of a pair's distance where they do not.
POSITION = "words before the first difference"


class Contrast(NamedTuple):
    """Comparison at one word: ``P(good | good_prefix)`` against ``P(bad | bad_prefix)``.

    Either the prefix is the same and the word differs, or the word is the same and the prefix differs.
    """

    good_prefix: str
    good: str
    bad_prefix: str
    bad: str


@dataclass(frozen=True)
class Pair:
    """Two sentences."""

    good: str
    """The acceptable sentence."""
    bad: str
    """The other one."""
    contrast: Contrast | None
    """The comparison at one word; None if the pair cannot be compared so."""
    group: str
    """What accuracies are reported by: a paradigm, or a number of attractors."""
    category: str = ""
    """A second grouping, such as the phenomenon that a paradigm belongs to; "" for none."""
    dependency_length: int | None = None
    """Number of words from the beginning of the dependency to its end, if the data gives it."""

    @property
    def position(self) -> int:
        """Number of words before the first difference."""
        return common_words(self.good, self.bad)


@dataclass(frozen=True, eq=False)
class PairSet:
    """Minimal pairs of one or several files."""

    name: str
    """Names of the files, for tables."""
    pairs: tuple[Pair, ...]
    default_unit: str
    """What published figures of this data compare: ``SENTENCE`` or ``WORD``."""

    @cached_property
    def distances(self) -> tuple[str, tuple[int, ...]]:
        """What the distances of the pairs are, and the distance of each: ``DEPENDENCY`` if all pairs give it."""
        lengths = [pair.dependency_length for pair in self.pairs]
        known = tuple(length for length in lengths if length is not None)
        if len(known) == len(lengths):
            return DEPENDENCY, known
        return POSITION, tuple(pair.position for pair in self.pairs)


def contrast_at_first_difference(good: str, bad: str) -> Contrast | None:
    """Return the comparison of the first words in which two sentences differ; None if one begins with the other."""
    first, second = split_words(good), split_words(bad)
    at = common_words(good, bad)
    if at == min(len(first), len(second)):
        return None
    prefix = " ".join(first[:at])
    return Contrast(prefix, first[at], prefix, second[at])


def common_words(good: str, bad: str) -> int:
    """Return the number of words at the beginning that two sentences have in common."""
    first, second = split_words(good), split_words(bad)
    length = min(len(first), len(second))
    return next((at for at in range(length) if first[at] != second[at]), length)


def require_unit(unit: str) -> None:
    """Check the name of a unit of comparison.

    Raises:
        ArgumentError: if there is no such unit.
    """
    if unit not in UNITS:
        raise ArgumentError(f"unknown `unit` {unit!r}: choose one of {', '.join(UNITS)}")
