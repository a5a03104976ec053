"""Probabilistic context-free grammars: rules with probabilities, and sampling of sentences."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from rnnlm_jax.errors import ArgumentError

_TOLERANCE = 1e-9  # for rounding in a sum of probabilities


class Rule(NamedTuple):
    """The rule `left -> right` with its probability among the rules of `left`."""

    left: str
    right: tuple[str, ...]
    probability: float


@dataclass(frozen=True)
class Grammar:
    """A probabilistic context-free grammar; symbols that are not the left side of a rule are words.

    Each nonterminal must expand to finitely many words on average, and there must be no empty right sides and no left
    recursion: then sampling terminates, and every sentence has finitely many derivations.

    Attributes:
        start: start symbol.
        rules: all rules.

    Raises:
        ArgumentError: one of these conditions does not hold, probabilities do not sum to one, or `start` has no rule.
    """

    start: str
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        """Check the conditions."""
        if self.start not in self.alternatives:
            raise ArgumentError(f"the start symbol {self.start!r} has no rule: add one")
        for left, rules in self.alternatives.items():
            if not all(rule.right and rule.probability > 0 for rule in rules):
                raise ArgumentError(f"a rule of {left!r} has an empty right side or a probability that is not positive")
            total = math.fsum(rule.probability for rule in rules)
            if abs(total - 1) > _TOLERANCE:
                raise ArgumentError(f"the probabilities of the rules of {left!r} sum to {total:.6g}: make it 1")
        self._require_no_left_recursion()
        radius = float(np.abs(np.linalg.eigvals(self.mean_offspring)).max())
        if radius >= 1:
            raise ArgumentError(f"sentences grow without bound (spectral radius {radius:.3g}): make recursion rarer")

    @classmethod
    def from_text(cls, start: str, text: str) -> Grammar:
        """Parse a grammar of lines `LEFT -> 0.6 A word B | 0.4 word`, with a probability before each alternative.

        Raises:
            ArgumentError: a line does not have this form, or the grammar does not satisfy the conditions of the class.
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
                raise ArgumentError(f"{line.strip()!r} is not a rule: write LEFT -> probability symbols | …")
        return cls(start, tuple(rules))

    @cached_property
    def alternatives(self) -> dict[str, tuple[Rule, ...]]:
        """The rules of each nonterminal."""
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
        """The matrix `M` `[K, K]`: mean number of nonterminals `j` in one expansion of nonterminal `i`."""
        position = {left: k for k, left in enumerate(self.alternatives)}
        matrix = np.zeros((len(position), len(position)))
        for rule in self.rules:
            for symbol in rule.right:
                if symbol in position:
                    matrix[position[rule.left], position[symbol]] += rule.probability
        return matrix

    @cached_property
    def rules_by_first_word(self) -> dict[tuple[str, str], tuple[Rule, ...]]:
        """The rules by which an expansion may begin with a word, by (nonterminal, word)."""
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
        """Cumulative probabilities (without the last, 1) and reversed right sides of each nonterminal."""
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

    def _require_no_left_recursion(self) -> None:
        begins = {left: {rule.right[0] for rule in rules} for left, rules in self.alternatives.items()}
        for left in begins:
            reached, pending = set(), [left]
            while pending:
                new = begins.get(pending.pop(), set()) - reached
                reached |= new
                pending.extend(new)
            if left in reached:
                raise ArgumentError(f"{left!r} can begin with itself (left recursion): reorder the rule")
