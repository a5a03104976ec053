"""Words are drawn with the probabilities of the formulas: the alias table exactly, the draws by simulation."""

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.arrays.sparse_rows import UNUSED
from rnnlm_jax.outputs.proposals import proposal
from rnnlm_jax.outputs.samplers import make_sampler
from rnnlm_jax.outputs.word_counts import WordCounts

COUNTS = [40, 0, 3, 17, 1, 9, 3]
BATCHES = 20_000


def words(counts=COUNTS):
    return WordCounts([f"w{v}" for v in range(len(counts))], counts)


def expected_q(kind, power, counts):
    if kind == "unigram":
        weights = np.maximum(counts, 1.0) ** power
        return weights / weights.sum()
    ranks = np.empty(len(counts))
    ranks[np.argsort(-np.asarray(counts), kind="stable")] = np.arange(len(counts))
    return np.log((ranks + 2) / (ranks + 1)) / np.log(len(counts) + 1)


@pytest.mark.parametrize(
    ("kind", "power", "counts"),
    [
        ("log-uniform", None, COUNTS),
        ("unigram", 1, COUNTS),
        ("unigram", 0.4, COUNTS),
        ("unigram", 0, COUNTS),
        ("unigram", 1.0, [5]),
        ("unigram", 1.0, [10**9, 0]),
        ("log-uniform", None, np.arange(5000) % 71),
        ("unigram", 1.0, 10**7 // np.arange(1, 5001)),
    ],
)
def test_the_alias_table_is_the_distribution(kind, power, counts):
    found = proposal(words(counts), kind, power)
    q = expected_q(kind, 1.0 if power is None else power, counts)
    np.testing.assert_allclose(found.probabilities, q, rtol=1e-12)
    keep, size = found.keep.astype(np.float64), len(counts)
    from_table = (keep + np.bincount(found.alias, 1 - keep, size)) / size
    np.testing.assert_allclose(from_table, q, rtol=1e-6, atol=1e-7 / size)


@pytest.mark.parametrize(
    ("unique", "num_samples", "kind"), [(False, 5, "unigram"), (True, 4, "unigram"), (True, 3, "log-uniform")]
)
def test_words_are_drawn_as_often_as_expected(unique, num_samples, kind):
    sampler = make_sampler(proposal(words(), kind), num_samples, unique)
    draws = np.asarray(jax.jit(jax.vmap(sampler.draw))(jax.random.split(jax.random.key(0), BATCHES)))
    assert draws.shape == (BATCHES, sampler.slots)
    counts = np.stack([(draws == v).sum(1) for v in range(len(COUNTS))], axis=1)
    expected = np.exp(sampler.log_expected)
    error = counts.std(0) / np.sqrt(BATCHES)
    assert (np.abs(counts.mean(0) - expected) < 4.5 * error + 1e-9).all()
    if not unique:
        np.testing.assert_allclose(expected, 5 * proposal(words(), kind).probabilities, rtol=1e-12)
        assert (counts.sum(1) == num_samples).all()
        return
    q = expected_q(kind, 1.0, COUNTS)
    np.testing.assert_allclose(expected, 1 - (1 - q) ** sampler.tries, rtol=1e-12)
    assert expected.sum() >= num_samples > (1 - (1 - q) ** (sampler.tries - 1)).sum()
    # What the loss rests on: the mean of Σ f(v) / E[v] over samples is the sum of f over all words.
    f = np.exp(np.arange(len(COUNTS)) / 3)
    estimates = (counts * f / expected).sum(1)
    assert abs(estimates.mean() - f.sum()) < 4 * estimates.std() / np.sqrt(BATCHES)
    assert counts.max() == 1  # each word once, the rest is unused, and in order
    assert (counts.sum(1) + (draws == UNUSED).sum(1) == sampler.slots).all()
    assert (np.diff(draws.astype(np.int64)) >= 0).all()
    assert counts.sum(1).min() < num_samples < counts.sum(1).max()


def test_batches_have_fewer_words_than_slots():
    sampler = make_sampler(proposal(words(10**7 // np.arange(1, 2001)), "log-uniform"), 400, unique=True)
    assert sampler.slots < min(480, sampler.tries)
    draws = np.asarray(jax.jit(jax.vmap(sampler.draw))(jax.random.split(jax.random.key(1), 2000)))
    found = (draws != UNUSED).sum(1)
    assert abs(found.mean() - 400) < 1
    assert found.max() < sampler.slots


def test_as_many_unique_samples_as_words_are_all_words():
    sampler = make_sampler(proposal(words(), "unigram"), len(COUNTS), unique=True)
    assert sampler.draw(jax.random.key(0)).tolist() == list(range(len(COUNTS)))
    assert not sampler.log_expected.any()


@pytest.mark.parametrize(
    ("num_samples", "unique", "said"),
    [
        (8, True, "`num_samples` 8 is more than the 7 words"),
        (8, False, "`num_samples` 8 is more than the 7 words"),
        (0, True, "positive whole number"),
        (-3, False, "positive whole number"),
        (2.5, True, "positive whole number"),
        (True, True, "positive whole number"),
        ("ten", True, "positive whole number"),
        (2, "yes", "true or false"),
    ],
)
def test_impossible_numbers_of_samples_are_refused(num_samples, unique, said):
    with pytest.raises(UserError, match=said):
        make_sampler(proposal(words(), "unigram"), num_samples, unique)


def test_too_many_tries_are_refused():
    rare = proposal(words([10**12, 10**12, 1, 1]), "unigram")
    with pytest.raises(UserError, match="ask for fewer, for all of them, or set unique=false"):
        make_sampler(rare, 3, unique=True)
    assert make_sampler(rare, 3, unique=False).slots == 3


@pytest.mark.parametrize(
    ("kind", "power", "said"),
    [
        ("zipf", None, "must be log-uniform or unigram"),
        ("log-uniform", 0.5, "`power` belongs to the proposal unigram"),
        ("unigram", -1, "0 or more"),
        ("unigram", float("nan"), "0 or more"),
        ("unigram", "half", "0 or more"),
    ],
)
def test_impossible_proposals_are_refused(kind, power, said):
    with pytest.raises(UserError, match=said):
        proposal(words(), kind, power)


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(UserError, match="`words` is empty"):
        proposal(words([]), "unigram")
