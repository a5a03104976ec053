"""Words with their counts: equality by content, and a round trip through JSON."""

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.outputs.word_counts import WordCounts

TOKENS = ("the", "<unk>", "été", "a")
WORDS = WordCounts(TOKENS, [7, 0, 2, 7])


def test_counts_are_those_of_the_text():
    assert WordCounts.counted(TOKENS, np.array([0, 3, 2] * 2 + [0, 3] * 5, np.int32)) == WORDS
    assert WordCounts.counted(TOKENS, np.array([], np.int32)).counts.tolist() == [0] * 4


def test_equal_content_gives_equal_words():
    again = WordCounts(list(TOKENS), np.array([7, 0, 2, 7], np.int32))
    assert again == WORDS
    assert hash(again) == hash(WORDS)
    for other in (WordCounts(TOKENS, [7, 1, 2, 7]), WordCounts((*TOKENS[:3], "b"), [7, 0, 2, 7])):
        assert other != WORDS
        assert other.digest != WORDS.digest
    with pytest.raises(ValueError, match="read-only"):
        WORDS.counts[0] = 1


def test_ranks_are_by_falling_count_and_stable():
    assert WORDS.by_rank.tolist() == [0, 3, 2, 1]


def test_words_survive_a_round_trip_through_json():
    assert WordCounts.from_json(WORDS.to_json(), TOKENS) == WORDS


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (WORDS.to_json().replace("7", "8", 1), TOKENS),
        (WORDS.to_json()[:-4], TOKENS),
        (WORDS.to_json(), TOKENS[::-1]),
        (WORDS.to_json(), TOKENS[:2]),
        ("[1, 2]", TOKENS),
        ("null", TOKENS),
        ("{}", TOKENS),
    ],
)
def test_damaged_json_is_refused(text, tokens):
    with pytest.raises(UserError, match="damaged, or the run was trained with another vocabulary"):
        WordCounts.from_json(text, tokens, "counts.json")


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, 3, -1], [[1, 2, 3, 4]]])
def test_counts_must_be_one_per_word_and_not_negative(counts):
    with pytest.raises(UserError, match="one per word"):
        WordCounts(TOKENS, counts)
