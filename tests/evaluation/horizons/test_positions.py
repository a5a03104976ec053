"""Positions of a text: evenly spaced, each with the tokens before it, in batches of one size."""

import numpy as np
import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.horizons.positions import evenly_spaced, position_batches

TOKENS = np.arange(100, 112, dtype=np.int32)  # token 100 + i at index i


def test_positions_reach_from_the_first_possible_to_the_last():
    found = evenly_spaced(TOKENS, start_id=7, steps=4, count=3)
    assert found.indices.tolist() == [3, 7, 11]
    assert found.targets.tolist() == [103, 107, 111]
    assert found.inputs.T.tolist() == [[7, 100, 101, 102], [103, 104, 105, 106], [107, 108, 109, 110]]
    assert (found.inputs.dtype, found.targets.dtype) == (np.int32, np.int32)


def test_positions_are_distinct():
    found = evenly_spaced(TOKENS, start_id=7, steps=10, count=50)
    assert found.indices.tolist() == [9, 10, 11]
    assert evenly_spaced(TOKENS, start_id=7, steps=10, count=1).indices.tolist() == [9]
    assert evenly_spaced(TOKENS, start_id=7, steps=12, count=5).inputs.T.tolist() == [[7, *range(100, 111)]]


def test_a_text_too_short_is_an_error():
    with pytest.raises(DataError, match="13 steps do not fit into a text of 12 tokens"):
        evenly_spaced(TOKENS, start_id=7, steps=13, count=1)


def test_batches_are_filled_up_with_the_first_position():
    found = evenly_spaced(TOKENS, start_id=7, steps=8, count=5)
    one, two, three = position_batches(found, 2)
    assert [each.indices.tolist() for each in (one, two, three)] == [[7, 8], [9, 10], [11, 7]]
    for batch in (one, two, three):
        assert batch.targets.tolist() == (100 + batch.indices).tolist()
        assert batch.inputs[-1].tolist() == (99 + batch.indices).tolist()
    (whole,) = position_batches(found, 5)
    assert whole.indices.tolist() == found.indices.tolist()
