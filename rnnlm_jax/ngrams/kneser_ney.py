"""Interpolated Kneser–Ney smoothing of any order."""

from collections.abc import Callable

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.backoff_model import Level, NgramModel
from rnnlm_jax.ngrams.discounts import DISCOUNT_KINDS, Discounts, estimate_discounts
from rnnlm_jax.ngrams.ngram_counts import NgramCounts, count_ngrams

#: Beyond the sentences of most texts, where higher orders add nothing.
MAX_ORDER = 1000


def train(
    text: EncodedText,
    vocabulary: Vocabulary,
    order: int,
    discounts: str = "modified",
    progress: Callable[[int], object] = lambda tokens: None,
) -> NgramModel:
    """Estimate an interpolated Kneser–Ney model (Kneser & Ney 1995; Chen & Goodman 1999, section 3).

        P(w | h) = max(a(h w) − D(a(h w)), 0) / a(h ·) + Σ_v D(a(h v)) / a(h ·) · P(w | h'),    P(w | nothing) = 1 / V,

    where ``a`` counts occurrences at the highest order, and below it the words that an n-gram was seen after; one that
    begins with ``<s>`` stands after nothing and keeps its occurrences. Nothing is cut off. ``</s>`` is our
    end-of-line token and is among the V words; ``<s>`` is not.

    Args:
        text: the training text, encoded by ``vocabulary``.
        vocabulary: V words; those that the text lacks share what the unigrams leave.
        order: the longest n-grams, 1 to 1000.
        discounts: "modified", three an order, or "single".
        progress: told the number of tokens each time that an order is counted; ``order`` times in all.

    Raises:
        DataError: for an order out of range, unknown discounts, or a text without tokens.
    """
    require_order(order)
    if discounts not in DISCOUNT_KINDS:
        raise DataError(f"unknown discounts {discounts!r}: choose one of {', '.join(DISCOUNT_KINDS)}")
    if len(text) == 0:
        raise DataError("there are no tokens to count n-grams of: give a text that is not empty")
    tables = count_ngrams(text.tokens, vocabulary.size, vocabulary.eos_id, order, progress)
    for k in range(order - 1):  # in place: of a large text there is no room for both
        tables[k] = tables[k]._replace(counts=continuations(tables[k], tables[k + 1]))
    used = [estimate_discounts(discounts, table.counts) for table in tables]
    levels = _levels(tables, used, vocabulary.size)
    return NgramModel(vocabulary, levels, _source(discounts, used, len(text)))


def require_order(order: int) -> None:
    """Check that there are models of an order.

    Raises:
        DataError: if it is not from 1 to 1000.
    """
    if not 1 <= order <= MAX_ORDER:
        raise DataError(f"the order of an n-gram model must be from 1 to {MAX_ORDER}, not {order}")


def continuations(table: NgramCounts, above: NgramCounts) -> np.ndarray:
    """``N1+(· g)``, the distinct words before each n-gram, or its occurrences where it begins a sentence.

    An n-gram that does not begin with ``<s>`` always has something before it, and one that does never has: so those
    that are no suffix of an n-gram of the order above are the ones that begin with ``<s>``.
    """
    before = np.bincount(above.suffixes, minlength=table.keys.size).astype(table.counts.dtype)
    return np.where(before > 0, before, table.counts)


def _levels(tables: list[NgramCounts], used: list[Discounts], size: int) -> tuple[Level, ...]:
    """Probabilities order by order, upwards: each n-gram adds its share to that of its suffix.

    Tables are taken off the list as they are done with.
    """
    probability = np.append(np.full(size, 1.0 / size), 0.0)
    levels: list[Level] = []
    for k, discounts in enumerate(used, 1):
        table = tables.pop(0)
        # Order 1 has one context, the empty one; what is below it is uniform.
        contexts = table.keys // size if k > 1 else np.zeros(table.keys.size, np.int64)
        seen_contexts = levels[-1].keys.size if k > 1 else 1
        taken = discounts.of(table.counts)
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


def _source(kind: str, used: list[Discounts], tokens: int) -> str:
    """What was estimated, with the discounts of each order."""

    def shown(discounts: Discounts) -> str:
        values = discounts[:3] if kind == "modified" else discounts[:1]
        fallback = " (fallback: too few counts to estimate_discounts)" if discounts.fallback else ""
        return "/".join(f"{value:.4f}" for value in values) + fallback

    name = "modified" if kind == "modified" else "single-discount"
    by_order = ", ".join(f"{k}: {shown(discounts)}" for k, discounts in enumerate(used, 1))
    return f"interpolated {name} Kneser-Ney {len(used)}-gram of {tokens:,} tokens; discounts by order {by_order}"
