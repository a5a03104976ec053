"""Exact probability and number of derivations of a sentence under a probabilistic grammar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rnnlm_jax.data.corpora.context_free_grammar import Grammar
from rnnlm_jax.data.white_space import split_words


class Parse(NamedTuple):
    """Sum over the derivations of a sentence."""

    log_probability: float  # nats; -inf without a derivation
    derivations: int


def log_probability(grammar: Grammar, tokens: Sequence[str]) -> Parse:
    """Return the log probability of a sentence in nats, its end included, and its number of derivations.

    The inside algorithm (Baker 1979), top-down with memoisation, trying only rules that can begin with the next word.
    It terminates because the grammar has no left recursion; for a nearly deterministic grammar it takes linear time.
    """
    chart: dict[tuple[str, int], dict[int, Parse]] = {}

    def spans(symbol: str, start: int) -> dict[int, Parse]:
        """Return the sum over derivations of `tokens[start:end]` from a symbol, by `end`."""
        if symbol not in grammar.alternatives:
            return {start + 1: Parse(0.0, 1)} if start < len(tokens) and tokens[start] == symbol else {}
        if start == len(tokens):
            return {}  # expansions are not empty
        known = chart.get((symbol, start))
        if known is not None:
            return known
        covered: dict[int, Parse] = {}
        for rule in grammar.rules_by_first_word.get((symbol, tokens[start]), ()):
            partial = {start: Parse(math.log(rule.probability), 1)}
            for part in rule.right:
                extended: dict[int, Parse] = {}
                for middle, before in partial.items():
                    for end, after in spans(part, middle).items():
                        joined = Parse(
                            before.log_probability + after.log_probability, before.derivations * after.derivations
                        )
                        _add(extended, end, joined)
                partial = extended
            for end, parse in partial.items():
                _add(covered, end, parse)
        chart[symbol, start] = covered
        return covered

    return spans(grammar.start, 0).get(len(tokens), Parse(-math.inf, 0))


def summed_nats(grammar: Grammar, lines: Iterable[str]) -> tuple[float, int]:
    """Return the summed nats of the true model on a text, and the number of tokens with one end a line.

    The difference to the nats of a trained model on the same text is free of the text's sampling noise.
    """
    nats: list[float] = []
    count = 0
    known: dict[str, float] = {}  # short sentences repeat
    for line in lines:
        tokens = split_words(line)
        if line not in known:
            known[line] = -log_probability(grammar, tokens).log_probability
        nats.append(known[line])
        count += len(tokens) + 1
    return math.fsum(nats), count


def _add(table: dict[int, Parse], end: int, parse: Parse) -> None:
    old = table.get(end)
    if old is not None:
        high = max(old.log_probability, parse.log_probability)
        low = min(old.log_probability, parse.log_probability)
        parse = Parse(high + math.log1p(math.exp(low - high)), old.derivations + parse.derivations)
    table[end] = parse
