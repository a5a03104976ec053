"""What is refused side by side, and what the refusal says."""

import dataclasses

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.evaluation.comparison import require_same_vocabulary
from tests.evaluation.comparison.given_scores import WORDS, Given

NATS = np.zeros(3)


@pytest.mark.parametrize(
    ("changes", "said"),
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
def test_what_differs_is_named(changes, said):
    other = Given("other", NATS, dataclasses.replace(WORDS, **changes))
    one = Given("one", NATS)
    with pytest.raises(UserError) as error:
        require_same_vocabulary([one, Given("two", NATS), other])
    assert "one and other cannot be compared" in str(error.value)
    assert said in str(error.value)
    assert str(error.value).endswith("; train both with the same --vocabulary")
    with pytest.raises(UserError, match="; or not$"):
        require_same_vocabulary([one, other], "or not")
    assert "\n" not in str(error.value)


def test_equal_vocabularies_need_not_be_one():
    require_same_vocabulary([Given("one", NATS), Given("two", NATS, dataclasses.replace(WORDS))])
