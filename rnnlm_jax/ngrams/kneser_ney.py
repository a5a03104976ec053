"""Interpolated Kneser–Ney smoothing of any order."""

import numpy as np

from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.ngrams.backoff_model import Level, NgramModel
from rnnlm_jax.ngrams.discounts import DISCOUNT_KINDS, Discounts, estimate_discounts
from rnnlm_jax.ngrams.ngram_counts import NgramCounts, count_ngrams

#: Longer than the sentences of most texts, beyond which higher orders add nothing.
MAX_ORDER = 1000


def train(
    text: EncodedText,
    vocabulary: Vocabulary,
    order: int,
    *,
    discounts: str = "modified",
    progress: Progress = no_progress,
) -> NgramModel:
    """Estimate an interpolated Kneser–Ney model (Kneser & Ney 1995; Chen & Goodman 1999, section 3).

        P(w | h) = max(a(h w) − D(a(h w)), 0) / a(h ·) + Σ_v D(a(h v)) / a(h ·) · P(w | h'),    P(w | nothing) = 1 / V,

    where ``a`` counts occurrences at the highest order, and at lower orders the distinct words before an n-gram; an
    n-gram that begins with ``<s>`` has no word before it and keeps its occurrences. Nothing is pruned. ``</s>`` is the
    end-of-line token and one of the V words; ``<s>`` is not.

    Args:
        text: training text, encoded by ``vocabulary``.
        vocabulary: the V words; unseen ones get the probability that the unigrams leave.
        order: length of the longest n-grams, 1 to 1000.
        discounts: "modified", three discounts for each order, or "single".
        progress: called with the number of tokens after each order is counted.

    Raises:
        ArgumentError: ``order`` is out of range, or ``discounts`` is unknown.
        DataError: the text has no tokens.
    """
    require_order(order)
    if discounts not in DISCOUNT_KINDS:
        raise ArgumentError(f"unknown discounts {discounts!r}: choose one of {', '.join(DISCOUNT_KINDS)}")
    if len(text) == 0:
        raise DataError("the text has no tokens to count n-grams of: give one that is not empty")
    tables = count_ngrams(text.tokens, vocabulary.size, vocabulary.eos_id, order=order, progress=progress)
    for k in range(order - 1):  # in place, since both counts of a large text do not fit into memory
        tables[k] = tables[k]._replace(counts=continuation_counts(tables[k], tables[k + 1]))
    estimates = [estimate_discounts(discounts, table.counts) for table in tables]
    levels = _levels(tables, estimates, vocabulary.size)
    return NgramModel(vocabulary, levels, _source(discounts, estimates, len(text)))


def require_order(order: int) -> None:
    """Check the order of an n-gram model.

    Raises:
        ArgumentError: ``order`` is not from 1 to 1000.
    """
    if not 1 <= order <= MAX_ORDER:
        raise ArgumentError(f"the `order` of an n-gram model must be from 1 to {MAX_ORDER}, not {order}")


def continuation_counts(table: NgramCounts, longer: NgramCounts) -> np.ndarray:
    """Return ``N1+(· g)``, the number of distinct words before each n-gram, or its count if it begins with ``<s>``.

    Every n-gram that does not begin with ``<s>`` has a word or ``<s>`` before it. So exactly the n-grams that begin
    with ``<s>`` are not suffixes of n-grams of the next order.
    """
    before = np.bincount(longer.suffixes, minlength=table.keys.size).astype(table.counts.dtype)
    return np.where(before > 0, before, table.counts)


def _levels(tables: list[NgramCounts], estimates: list[Discounts], size: int) -> tuple[Level, ...]:
    """Return the levels of the model, from order 1 up: an n-gram's probability builds on that of its suffix.

    Each table is removed from the list after its use.
    """
    probability = np.append(np.full(size, 1.0 / size), 0.0)
    levels: list[Level] = []
    for k, discounts in enumerate(estimates, 1):
        table = tables.pop(0)
        # Order 1 has one context, the empty one, and backs off to the uniform distribution.
        contexts = table.keys // size if k > 1 else np.zeros(table.keys.size, np.int64)
        seen_contexts = levels[-1].keys.size if k > 1 else 1
        taken = discounts.for_counts(table.counts)
        total = np.bincount(contexts, weights=table.counts, minlength=seen_contexts)
        left = np.bincount(contexts, weights=taken, minlength=seen_contexts)
        left = np.divide(left, total, out=np.ones(seen_contexts), where=total > 0)
        below = probability[table.suffixes] if k > 1 else probability
        probability = left[contexts] * below
        probability += (table.counts - taken) / total[contexts]
        if k > 1:
            levels[-1] = levels[-1]._replace(log_backoff=np.log(left))
        else:
            probability[size] = 0.0  # <s> is never predicted
        with np.errstate(divide="ignore"):
            log_prob = np.minimum(np.log(probability), 0.0)
        levels.append(Level(table.keys, log_prob, np.zeros(table.keys.size)))
    return tuple(levels)


def _source(kind: str, estimates: list[Discounts], tokens: int) -> str:
    """Return a description of the estimate, with the discounts of each order."""

    def describe(discounts: Discounts) -> str:
        values = discounts[:3] if kind == "modified" else discounts[:1]
        fallback = " (fallback: too few counts to estimate_discounts)" if discounts.fallback else ""
        return "/".join(f"{value:.4f}" for value in values) + fallback

    name = "modified" if kind == "modified" else "single-discount"
    by_order = ", ".join(f"{k}: {describe(discounts)}" for k, discounts in enumerate(estimates, 1))
    return f"interpolated {name} Kneser-Ney {len(estimates)}-gram of {tokens:,} tokens; discounts by order {by_order}"
