"""Probabilistic context-free grammars: rules with probabilities, and sentences drawn from them."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from rnnlm_jax.errors import DataError

_TOLERANCE = 1e-9  # of a sum of probabilities, against rounding


class Rule(NamedTuple):
    """`left -> right` with the probability of this choice among the rules of `left`."""

    left: str
    right: tuple[str, ...]
    probability: float


@dataclass(frozen=True)
class Grammar:
    """A probabilistic context-free grammar; what stands on no left side is a word.

    The grammar must be finite in the mean (each nonterminal expands to finitely many words on average), without empty
    right sides and without left recursion: then sampling ends, and every sentence has finitely many derivations.

    Attributes:
        start: the nonterminal of a sentence.
        rules: all rules.

    Raises:
        DataError: one of these conditions fails, probabilities do not sum to one, or `start` has no rule.
    """

    start: str
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        """Check the conditions that the other functions rely on."""
        if self.start not in self.alternatives:
            raise DataError(f"the start symbol {self.start!r} has no rule: add one")
        for left, rules in self.alternatives.items():
            if not all(rule.right and rule.probability > 0 for rule in rules):
                raise DataError(f"a rule of {left!r} has an empty right side or a probability that is not positive")
            total = math.fsum(rule.probability for rule in rules)
            if abs(total - 1) > _TOLERANCE:
                raise DataError(f"the probabilities of the rules of {left!r} sum to {total:.6g}: make it 1")
        self._refuse_left_recursion()
        radius = float(np.abs(np.linalg.eigvals(self.mean_offspring)).max())
        if radius >= 1:
            raise DataError(f"sentences grow without bound (spectral radius {radius:.3g}): make recursion rarer")

    @classmethod
    def from_text(cls, start: str, text: str) -> Grammar:
        """Read a grammar written as lines `LEFT -> 0.6 A word B | 0.4 word`, a probability before each alternative.

        Raises:
            DataError: a line is not of this form, or the grammar does not meet the conditions of the class.
        """
        rules: list[Rule] = []
        for line in filter(str.strip, text.split("\n")):
            left, arrow, rest = line.partition("->")
            try:
                alternatives = [alternative.split() for alternative in rest.split("|")]
                rules.extend(Rule(left.strip(), tuple(right), float(p)) for p, *right in alternatives)
            except ValueError:
                arrow = ""
            if not arrow or len(left.split()) != 1:
                raise DataError(f"{line.strip()!r} is no rule: write LEFT -> probability symbols | probability symbols")
        return cls(start, tuple(rules))

    @cached_property
    def alternatives(self) -> dict[str, tuple[Rule, ...]]:
        """Nonterminal -> its rules."""
        found: dict[str, list[Rule]] = {}
        for rule in self.rules:
            found.setdefault(rule.left, []).append(rule)
        return {left: tuple(rules) for left, rules in found.items()}

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of the language, sorted."""
        return tuple(sorted({symbol for rule in self.rules for symbol in rule.right} - set(self.alternatives)))

    @cached_property
    def mean_offspring(self) -> np.ndarray:
        """The matrix `M` `[K, K]`: how many of nonterminal `j` one expansion of nonterminal `i` yields on average."""
        position = {left: k for k, left in enumerate(self.alternatives)}
        matrix = np.zeros((len(position), len(position)))
        for rule in self.rules:
            for symbol in rule.right:
                if symbol in position:
                    matrix[position[rule.left], position[symbol]] += rule.probability
        return matrix

    @cached_property
    def predicted(self) -> dict[tuple[str, str], tuple[Rule, ...]]:
        """(nonterminal, word) -> the rules through which an expansion of the nonterminal may begin with the word."""
        table: dict[tuple[str, str], list[Rule]] = {}
        for rule in self.rules:
            for word in self._first_words(rule.right[0]):
                table.setdefault((rule.left, word), []).append(rule)
        return {key: tuple(rules) for key, rules in table.items()}

    def sample(self, rng: np.random.Generator) -> list[str]:
        """Draw the words of one sentence."""
        words: list[str] = []
        pending = [self.start]  # the symbols still to expand, leftmost last
        while pending:
            symbol = pending.pop()
            choice = self._choices.get(symbol)
            if choice is None:
                words.append(symbol)
            else:
                thresholds, reversed_rights = choice
                pending += reversed_rights[bisect(thresholds, rng.random())]
        return words

    @cached_property
    def _choices(self) -> dict[str, tuple[list[float], list[tuple[str, ...]]]]:
        """Nonterminal -> cumulative probabilities without the last, which is 1, and right sides from right to left."""
        return {
            left: (
                list(accumulate(rule.probability for rule in rules))[:-1],
                [tuple(reversed(rule.right)) for rule in rules],
            )
            for left, rules in self.alternatives.items()
        }

    def _first_words(self, symbol: str) -> set[str]:
        if symbol not in self.alternatives:
            return {symbol}
        return set().union(*(self._first_words(rule.right[0]) for rule in self.alternatives[symbol]))

    def _refuse_left_recursion(self) -> None:
        begins = {left: {rule.right[0] for rule in rules} for left, rules in self.alternatives.items()}
        for left in begins:
            reached, pending = set(), [left]
            while pending:
                new = begins.get(pending.pop(), set()) - reached
                reached |= new
                pending.extend(new)
            if left in reached:
                raise DataError(f"{left!r} can begin with itself (left recursion): turn the rule round")
