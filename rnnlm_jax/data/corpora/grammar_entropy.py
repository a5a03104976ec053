r"""Exact entropy and mean length of the sentences of a probabilistic grammar.

The choices in a derivation are independent, so the entropy `H` of the expansions of each nonterminal solves a linear
system: with `h_A = -Σ p log p` over the rules of `A`, and `M` the mean number of nonterminals that a rule yields,

    H = h + M H        (Grenander, "Syntax-controlled probabilities", 1967; Chi, Computational Linguistics 25, 1999)

and likewise `L = w + M L` for the mean number of words. `H` is the entropy of derivations: that of sentences if the
grammar is unambiguous, and an upper bound otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from rnnlm_jax.data.corpora.context_free_grammar import Grammar


def sentence_entropy(grammar: Grammar) -> float:
    """Return the entropy of a derivation in nats, which is that of a sentence if the grammar is unambiguous."""
    choice = [
        -math.fsum(rule.probability * math.log(rule.probability) for rule in rules)
        for rules in grammar.alternatives.values()
    ]
    return _total(grammar, choice)


def expected_length(grammar: Grammar) -> float:
    """Return the mean number of words of a sentence, without its end."""
    words = [
        math.fsum(rule.probability * sum(symbol not in grammar.alternatives for symbol in rule.right) for rule in rules)
        for rules in grammar.alternatives.values()
    ]
    return _total(grammar, words)


def entropy_rate(grammar: Grammar) -> float:
    """Return the entropy in nats per token, with one end-of-line token a sentence.

    This is the lowest expected loss of a model of independent sentences; its exponential is the lowest perplexity.
    """
    return sentence_entropy(grammar) / (expected_length(grammar) + 1)


def _total(grammar: Grammar, terms: list[float]) -> float:
    """Return the entry of the start symbol in the solution of `x = terms + M x`."""
    matrix = grammar.mean_offspring
    values = np.linalg.solve(np.eye(len(matrix)) - matrix, np.array(terms))
    return float(values[list(grammar.alternatives).index(grammar.start)])
