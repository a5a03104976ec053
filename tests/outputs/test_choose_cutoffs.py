"""The chosen cut-offs are the best of all for a given cost, and the fitted cost reproduces given times."""

import itertools

import numpy as np
import pytest

from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.automatic_cutoffs import resolve_cutoffs
from rnnlm_jax.outputs.choose_cutoffs import choose_cutoffs
from rnnlm_jax.outputs.product_cost import ProductCost, fit_cost
from rnnlm_jax.outputs.word_counts import WordCounts

COST = ProductCost(overhead=40.0, per_multiplication=1.0, per_word=3.0, per_parameter=0.2, least=60.0)
COUNTS = (3000 / np.arange(1, 25) ** 1.2).astype(int)


def seconds(cutoffs, hidden, rows, counts=COUNTS):
    """The expected time of one batch, written out."""
    ends = (*cutoffs, len(counts))
    total = COST(ends[0] + len(cutoffs), rows, hidden)
    for i, (begin, end) in enumerate(itertools.pairwise(ends), 1):
        some, width = rows * counts[begin:end].sum() / counts.sum(), hidden // 4**i
        total += COST(end - begin, some, width) + COST(width, some, hidden)
    return total


@pytest.mark.parametrize("clusters", [1, 2, None])
@pytest.mark.parametrize("rows", [1, 20])
def test_the_best_of_all_cutoffs_is_found(clusters, rows):
    numbers = [clusters] if clusters else [1, 2]  # 20 units are none in a third cluster
    all_of_them = [c for n in numbers for c in itertools.combinations(range(1, 24), n)]
    best = min(all_of_them, key=lambda cutoffs: seconds(cutoffs, 20, rows))
    found = choose_cutoffs(
        np.random.default_rng(0).permutation(COUNTS), 20, rows, clusters=clusters, cost=COST, min_head_share=0
    )
    assert seconds(found, 20, rows) == pytest.approx(seconds(best, 20, rows), rel=1e-12)


def test_the_head_has_at_least_the_required_share_of_the_text():
    for part in (0.5, 0.9):
        first, *_ = choose_cutoffs(COUNTS, 64, 500, clusters=2, cost=COST, min_head_share=part)
        assert COUNTS[:first].sum() >= part * COUNTS.sum()
    assert choose_cutoffs(COUNTS, 64, 500, clusters=2, cost=COST, min_head_share=1.0) == (22, 23)


@pytest.mark.parametrize(
    ("counts", "hidden", "clusters", "complaint"),
    [
        ([5, 4, 3], 64, 3, "too few for a head and 3 clusters"),
        ([5], 64, None, "at least 2 words"),
        ([0, 0], 64, None, "at least 2 words"),
        ([], 64, None, "at least 2 words"),
        ([5, 4, 3], 3, 1, "no units"),
        ([5, 4, 3], 3, None, "no units"),
        ([5, 4, 3], 64, 0, "too few"),
    ],
)
def test_too_few_words_or_units_are_refused(counts, hidden, clusters, complaint):
    with pytest.raises(UserError, match=complaint):
        choose_cutoffs(np.asarray(counts), hidden, 10, clusters=clusters, cost=COST)


def test_two_words_and_words_never_seen():
    assert choose_cutoffs(np.asarray([1, 7]), 64, 10, clusters=None, cost=COST) == (1,)
    cutoffs = choose_cutoffs(np.asarray([9, 1] + [0] * 50), 256, 10, clusters=None, cost=COST)
    assert list(cutoffs) == sorted(set(cutoffs)) and cutoffs[0] > 0 and cutoffs[-1] < 52


def test_fitted_constants_reproduce_the_times():
    cost = ProductCost(2e-5, 3e-11, 20.0, 1e-9, 5e5)
    cases = [(k, b, d) for k in (100, 2000, 30000) for b in (10, 500) for d in (8, 100, 500)]
    fitted = fit_cost(cases, [cost(*case) for case in cases])
    wide = np.asarray(cases).T
    np.testing.assert_allclose(fitted(*wide), cost(*wide), rtol=0.2)
    assert min(fitted.overhead, fitted.per_word, fitted.per_parameter) >= 0


def test_resolved_cutoffs_are_stored_as_numbers():
    words = WordCounts([str(v) for v in range(24)], COUNTS)
    for options in ((), (("cutoffs", "auto"), ("div_value", 2))):
        settled = dict(resolve_cutoffs(options, words, 64, rows=20, cost=COST))
        chosen = choose_cutoffs(COUNTS, 64, 20, clusters=None, cost=COST, div_value=settled.get("div_value", 4))
        assert settled == dict(options) | {"cutoffs": ":".join(map(str, chosen))}
    given = (("cutoffs", 5),)
    assert resolve_cutoffs(given, words, 64, rows=20, cost=COST) == given
