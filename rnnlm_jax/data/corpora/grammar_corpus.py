"""The `grammar` corpus: generated sentences, and what the best possible model would pay for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, partial

import numpy as np

from rnnlm_jax.data.corpora.agreement_language import agreement_grammar
from rnnlm_jax.data.corpora.context_free_grammar import Grammar
from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.grammar_entropy import entropy_rate, expected_length, sentence_entropy
from rnnlm_jax.errors import DataError

_SPLITS = ("train", "valid", "test")


def grammar_corpus(
    grammar: Grammar | None = None, *, seed: int = 0, sentences: tuple[int, int, int] = (40_000, 4_000, 4_000)
) -> Corpus:
    """Return a corpus of independent sentences of a grammar, one a line.

    The splits are independent draws from the same distribution, as the entropy demands: short sentences recur in all.
    `facts` gives, per nats and tokens with one end-of-line token a sentence: `entropy_rate` (nats per token),
    `perplexity` (its exponential), `sentence_entropy` (nats) and `expected_length` (words a sentence).
    What the true model pays for the very lines of a split is `grammar_parse.summed_nats`.

    Args:
        grammar: default: `agreement_language.agreement_grammar()`.
        seed: the text is a function of grammar, seed and split.
        sentences: how many in train, valid and test.

    Raises:
        DataError: a negative seed, or a count that is not positive.
    """
    if seed < 0:
        raise DataError(f"seed={seed} is negative: give 0 or more")
    if min(sentences) <= 0:
        raise DataError(f"sentences={sentences} are not all positive: give each split at least one")
    grammar = agreement_grammar() if grammar is None else grammar
    rate = entropy_rate(grammar)
    return Corpus(
        "grammar",
        "word",
        {
            split: partial(_lines, grammar, seed, number, count)
            for number, (split, count) in enumerate(zip(_SPLITS, sentences, strict=True))
        },
        {
            "entropy_rate": rate,
            "perplexity": math.exp(rate),
            "sentence_entropy": sentence_entropy(grammar),
            "expected_length": expected_length(grammar),
        },
    )


def _lines(grammar: Grammar, seed: int, split: int, count: int) -> Iterator[str]:
    return iter(_drawn(grammar, seed, split, count))


@lru_cache(maxsize=6)
def _drawn(grammar: Grammar, seed: int, split: int, count: int) -> tuple[str, ...]:
    """Return the sentences of a split; kept, because drawing them costs a second and every pass would again."""
    rng = np.random.default_rng([seed, split])
    return tuple(" ".join(grammar.sample(rng)) for _ in range(count))
