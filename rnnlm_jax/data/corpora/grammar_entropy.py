r"""Exact entropy and length of the sentences of a probabilistic grammar.

The choices of a derivation are independent, so the mean surprisal of everything below a nonterminal obeys a linear
system: with `h_A = -Σ p log p` over the rules of `A` and `M` the mean number of nonterminals a rule yields,

    H = h + M H        (Grenander, "Syntax-controlled probabilities", 1967; Chi, Computational Linguistics 25, 1999)

and likewise `L = w + M L` for the mean number of words. `H` counts derivations. It is the entropy of the sentences
exactly when the grammar is unambiguous, and an upper bound otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from rnnlm_jax.data.corpora.context_free_grammar import Grammar


def sentence_entropy(grammar: Grammar) -> float:
    """Return the entropy of a derivation, hence of a sentence of an unambiguous grammar, in nats."""
    choice = [
        -math.fsum(rule.probability * math.log(rule.probability) for rule in rules)
        for rules in grammar.alternatives.values()
    ]
    return _total(grammar, choice)


def expected_length(grammar: Grammar) -> float:
    """Return the mean number of words of a sentence, its end not counted."""
    own = [
        math.fsum(rule.probability * sum(symbol not in grammar.alternatives for symbol in rule.right) for rule in rules)
        for rules in grammar.alternatives.values()
    ]
    return _total(grammar, own)


def entropy_rate(grammar: Grammar) -> float:
    """Return the entropy in nats per token, one end-of-line token a sentence.

    No model of independent sentences has a lower expected loss; the perplexity of the true model is its exponential.
    """
    return sentence_entropy(grammar) / (expected_length(grammar) + 1)


def _total(grammar: Grammar, own: list[float]) -> float:
    """Return the value of the start symbol in `x = own + M x`."""
    matrix = grammar.mean_offspring
    values = np.linalg.solve(np.eye(len(matrix)) - matrix, np.array(own))
    return float(values[list(grammar.alternatives).index(grammar.start)])
