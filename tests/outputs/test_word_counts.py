"""Words with their counts: equal by content, and read back as they were written or not at all."""

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.outputs.word_counts import Words

TOKENS = ("the", "<unk>", "été", "a")
WORDS = Words(TOKENS, [7, 0, 2, 7])


def test_counted_from_a_text():
    assert Words.counted(TOKENS, np.array([0, 3, 2] * 2 + [0, 3] * 5, np.int32)) == WORDS
    assert Words.counted(TOKENS, np.array([], np.int32)).counts.tolist() == [0] * 4


def test_equal_by_content():
    again = Words(list(TOKENS), np.array([7, 0, 2, 7], np.int32))
    assert again == WORDS
    assert hash(again) == hash(WORDS)
    for other in (Words(TOKENS, [7, 1, 2, 7]), Words((*TOKENS[:3], "b"), [7, 0, 2, 7])):
        assert other != WORDS
        assert other.digest != WORDS.digest
    with pytest.raises(ValueError, match="read-only"):
        WORDS.counts[0] = 1


def test_ranks_are_by_falling_count_and_stable():
    assert WORDS.by_rank.tolist() == [0, 3, 2, 1]


def test_json_and_back():
    assert Words.from_json(WORDS.to_json(), TOKENS) == WORDS


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
def test_damage_is_told(text, tokens):
    with pytest.raises(UserError, match="damaged, or the run was trained with another vocabulary"):
        Words.from_json(text, tokens, "counts.json")


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, 3, -1], [[1, 2, 3, 4]]])
def test_one_count_a_word(counts):
    with pytest.raises(UserError, match="one per word"):
        Words(TOKENS, counts)
