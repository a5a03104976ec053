"""Places of a text: evenly spaced, each with what stands before it, in batches of one size."""

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.evaluation.horizons import positions as places

TOKENS = np.arange(100, 112, dtype=np.int32)  # each says where it stands


def test_evenly_from_the_first_possible_to_the_last():
    found = places.evenly(TOKENS, 7, 4, 3)
    assert found.indices.tolist() == [3, 7, 11]
    assert found.targets.tolist() == [103, 107, 111]
    assert found.inputs.T.tolist() == [[7, 100, 101, 102], [103, 104, 105, 106], [107, 108, 109, 110]]
    assert (found.inputs.dtype, found.targets.dtype) == (np.int32, np.int32)


def test_no_place_twice():
    found = places.evenly(TOKENS, 7, 10, 50)
    assert found.indices.tolist() == [9, 10, 11]
    assert places.evenly(TOKENS, 7, 10, 1).indices.tolist() == [9]
    assert places.evenly(TOKENS, 7, 12, 5).inputs.T.tolist() == [[7, *range(100, 111)]]


def test_a_text_too_short():
    with pytest.raises(UserError, match="13 steps do not fit into a text of 12 tokens"):
        places.evenly(TOKENS, 7, 13, 1)


def test_batches_are_filled_with_the_first():
    found = places.evenly(TOKENS, 7, 8, 5)
    one, two, three = places.batches(found, 2)
    assert [each.indices.tolist() for each in (one, two, three)] == [[7, 8], [9, 10], [11, 7]]
    for batch in (one, two, three):
        assert batch.targets.tolist() == (100 + batch.indices).tolist()
        assert batch.inputs[-1].tolist() == (99 + batch.indices).tolist()
    (whole,) = places.batches(found, 5)
    assert whole.indices.tolist() == found.indices.tolist()
