"""The `grammar` corpus: generated sentences with known entropy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm_jax.data.corpora.agreement_language import agreement_grammar
from rnnlm_jax.data.corpora.context_free_grammar import Grammar
from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.grammar_entropy import entropy_rate, expected_length, sentence_entropy
from rnnlm_jax.errors import ArgumentError

_SPLITS = ("train", "valid", "test")


def grammar_corpus(
    grammar: Grammar | None = None, *, seed: int = 0, sentences: tuple[int, int, int] = (40_000, 4_000, 4_000)
) -> Corpus:
    """Return a corpus of independent sentences of a grammar, one a line.

    The splits are independent samples of the same distribution, so short sentences occur in all of them. `facts` has,
    with one end-of-line token a sentence: `entropy_rate` (nats per token), `perplexity` (its exponential),
    `sentence_entropy` (nats) and `expected_length` (words a sentence). For the loss of the true model on the lines of
    a split see `grammar_parse.summed_nats`.

    Args:
        grammar: default: `agreement_language.agreement_grammar()`.
        seed: the text is a function of grammar, seed and split.
        sentences: number of sentences in train, valid and test.

    Raises:
        ArgumentError: `seed` is negative, or a number of sentences is not positive.
    """
    if seed < 0:
        raise ArgumentError(f"`seed` must be 0 or more, not {seed}")
    if min(sentences) <= 0:
        raise ArgumentError(f"`sentences` must be at least 1 for each split, not {sentences}")
    grammar = agreement_grammar() if grammar is None else grammar
    rate = entropy_rate(grammar)
    return Corpus(
        "grammar",
        "word",
        {
            split: _Sample(grammar, seed, number, count)
            for number, (split, count) in enumerate(zip(_SPLITS, sentences, strict=True))
        },
        {
            "entropy_rate": rate,
            "perplexity": math.exp(rate),
            "sentence_entropy": sentence_entropy(grammar),
            "expected_length": expected_length(grammar),
        },
    )


@dataclass(frozen=True)
class _Sample:
    """The sentences of a split, drawn on first use: 40,000 take about a second."""

    grammar: Grammar
    seed: int
    split: int
    count: int

    @cached_property
    def _sentences(self) -> tuple[str, ...]:
        rng = np.random.default_rng([self.seed, self.split])
        return tuple(" ".join(self.grammar.sample(rng)) for _ in range(self.count))

    def __call__(self) -> Iterator[str]:
        return iter(self._sentences)
