"""Classes of words: a partition by frequency, whatever the counts."""

import numpy as np
import pytest

from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.word_classes import bin_by_frequency


@pytest.mark.parametrize("classes", [None, 1, 7, 40])
def test_a_partition_whose_classes_are_runs_of_ranks(classes):
    counts = np.random.default_rng(0).zipf(1.5, 40) % 1000
    binned = bin_by_frequency(counts, classes)
    assert (np.sort(binned.rank) == np.arange(40)).all()
    assert (np.diff(counts[np.argsort(binned.rank)]) <= 0).all()
    assert binned.sizes.sum() == 40 and (binned.sizes > 0).all() and binned.count <= (classes or 7)
    for c, (start, size) in enumerate(zip(binned.starts, binned.sizes, strict=True)):
        assert (binned.class_of[start : start + size] == c).all()


def test_bins_are_those_of_the_square_root_of_counts():
    """By hand: roots 4, 2, 2, 1, 1, 1, 1 of 12; a half is passed by the second word, which ends the first class."""
    binned = bin_by_frequency(np.array([1, 16, 1, 4, 1, 4, 1]), 2)
    assert binned.rank.tolist() == [3, 0, 4, 1, 5, 2, 6]
    assert binned.sizes.tolist() == [3, 4]  # 4 + 2 is half of it, not beyond


def test_equal_and_unseen_words_are_shared_out_evenly():
    assert bin_by_frequency(np.zeros(9, int), 3).sizes.tolist() == [4, 3, 2]
    assert bin_by_frequency(np.array([5]), None).sizes.tolist() == [1]


@pytest.mark.parametrize("classes", [0, -1, 10, 2.5, True, "many"])
def test_impossible_numbers_of_classes_are_one_clear_error(classes):
    with pytest.raises(UserError, match="`classes` must be a whole number from 1 to the 9 words"):
        bin_by_frequency(np.ones(9), classes)


def test_no_words():
    with pytest.raises(UserError, match="`words` is empty"):
        bin_by_frequency(np.zeros(0))
