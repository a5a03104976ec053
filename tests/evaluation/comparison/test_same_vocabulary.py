"""Models of different vocabularies cannot be compared; the error names the difference."""

import dataclasses

import numpy as np
import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.comparison import require_same_vocabulary
from tests.evaluation.comparison.given_scores import WORDS, GivenScores

NATS = np.zeros(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eos": None}, "end of line '<eos>' and None"),
        ({"unk": "cat"}, "unknown token '<unk>' and 'cat'"),
        ({"level": "char"}, "level 'word' and 'char'"),
        ({"tokens": (*WORDS.tokens, "zebra")}, "1 only in the second, such as 'zebra' of the second"),
        ({"tokens": tuple(t for t in WORDS.tokens if t != "dog")}, "1 only in the first"),
        ({"tokens": WORDS.tokens[::-1]}, "the same types in another order"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_difference_is_named(changes, message):
    other = GivenScores("other", NATS, dataclasses.replace(WORDS, **changes))
    one = GivenScores("one", NATS)
    with pytest.raises(DataError) as error:
        require_same_vocabulary([one, GivenScores("two", NATS), other])
    assert "one and other cannot be compared" in str(error.value)
    assert message in str(error.value)
    assert str(error.value).endswith("; train both with the same `vocabulary`")
    with pytest.raises(DataError, match="; or not$"):
        require_same_vocabulary([one, other], "or not")
    assert "\n" not in str(error.value)


def test_equal_vocabularies_need_not_be_one_object():
    require_same_vocabulary([GivenScores("one", NATS), GivenScores("two", NATS, dataclasses.replace(WORDS))])
