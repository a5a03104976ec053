"""Batches: every token is a target exactly once an epoch, with the right input, in a reproducible order."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm_jax.data import EncodedText, SentenceBatches, StreamBatches
from rnnlm_jax.errors import ArgumentError, DataError

FIRST = 999


def text_of(lengths):
    """A text whose tokens are all different: 1, 2, 3, ..."""
    total = sum(lengths)
    return EncodedText(np.arange(1, total + 1, dtype=np.int32), np.cumsum(lengths, dtype=np.int64), 0, total)


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 12))
def test_every_token_of_a_stream_is_a_target_once_in_order(size, batch_size, bptt):
    tokens = np.arange(1, size + 1)
    batches = StreamBatches(tokens, batch_size, bptt, first_input=FIRST)
    whole = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    inputs, targets, mask = whole
    assert targets.T[mask.T].tolist() == tokens.tolist()  # down the first stream, then the second, ...
    assert inputs.T[mask.T].tolist() == [FIRST, *tokens[:-1].tolist()]
    stream_length = -(-size // batch_size)
    assert len(batches) == -(-stream_length // bptt)
    assert all(batch.inputs.shape == batch.mask.shape == (bptt, batch_size) for batch in batches)


@given(st.integers(1, 100), st.integers(1, 5), st.integers(1, 7))
def test_each_window_continues_the_one_before(size, batch_size, bptt):
    batches = StreamBatches(np.arange(1, size + 1), batch_size, bptt)
    for before, after in zip(range(len(batches)), range(1, len(batches)), strict=False):
        counted = batches[after].mask[0]
        assert (batches[after].inputs[0] == batches[before].targets[-1])[counted].all()


def test_stream_batches_by_index_equal_those_by_iteration():
    batches = StreamBatches(np.arange(1, 100), 4, 7)
    iterated = list(batches.epoch(3))
    assert len(iterated) == len(batches)
    assert all(equal(batches[i], iterated[i]) for i in reversed(range(len(batches))))
    assert equal(batches[-1], iterated[-1])
    with pytest.raises(IndexError):
        batches[len(batches)]
    assert batches.carries_state


def test_stream_batches_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        StreamBatches(np.arange(9), 2, 2)[0].inputs[0, 0] = 5


lengths = st.lists(st.integers(0, 40), min_size=1, max_size=40).filter(any)


@given(lengths, st.integers(1, 6), st.integers(0, 3), st.integers(0, 3))
def test_every_token_of_a_sentence_is_a_target_once_with_its_input(sentence_lengths, batch_size, seed, epoch):
    encoded = text_of(sentence_lengths)
    batches = SentenceBatches(encoded, batch_size, seed=seed, first_input=FIRST, boundaries=(4, 8, 16))
    found = []
    for batch in batches.epoch(epoch):
        assert batch.inputs.shape[1] == batch_size
        for inputs, targets, mask in zip(batch.inputs.T, batch.targets.T, batch.mask.T, strict=True):
            n = int(mask.sum())
            assert mask[:n].all()
            if n:
                assert inputs[0] == FIRST
                assert inputs[1:n].tolist() == targets[: n - 1].tolist()
                found.append(tuple(targets[:n].tolist()))
    assert Counter(found) == Counter(tuple(line.tolist()) for line in encoded.lines() if line.size)


@given(lengths, st.integers(1, 6))
def test_sentences_are_padded_to_the_shortest_boundary(sentence_lengths, batch_size):
    batches = SentenceBatches(text_of(sentence_lengths), batch_size, boundaries=(4, 8))
    shapes = {batch.targets.shape[0] for batch in batches.epoch(0)}
    assert shapes <= {4, 8, 16, 32, 64}
    for batch in batches.epoch(0):
        longest = batch.mask.sum(0).max()
        shorter = [bound for bound in (4, 8, 16, 32) if bound < batch.targets.shape[0]]
        assert all(longest > bound for bound in shorter)
    assert batches.batch_count(3) == len(batches.epoch(0)) == len(batches.epoch(7))


@given(lengths, st.integers(1, 6), st.integers(0, 6), st.booleans())
def test_columns_of_two_processes_together_are_the_batches(sentence_lengths, batch_size, cut, stream):
    text, columns = text_of(sentence_lengths), np.arange(batch_size)

    def batches(columns=None):
        if stream:
            return StreamBatches(text.tokens, batch_size, 5, first_input=FIRST, columns=columns)
        return SentenceBatches(text, batch_size, seed=2, first_input=FIRST, columns=columns)

    whole, first, second = (batches(some).epoch(1) for some in (None, columns[:cut], columns[cut:]))
    assert len(whole) == len(first) == len(second)
    for batch, *parts in zip(whole, first, second, strict=True):
        assert equal(batch, [np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True)])


def test_a_sentence_beyond_the_boundaries_goes_to_the_next_power_of_two():
    batches = SentenceBatches(text_of([5, 1000]), 1, boundaries=(6, 24))
    assert {batch.targets.shape[0] for batch in batches.epoch(0)} == {6, 1024}


def test_order_is_a_function_of_seed_and_epoch():
    encoded = text_of([3] * 50 + [20] * 50)

    def order(seed, epoch):
        return [batch.targets.tobytes() for batch in SentenceBatches(encoded, 4, seed=seed).epoch(epoch)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_sentence_batches_by_index_equal_those_by_iteration():
    view = SentenceBatches(text_of([3, 9, 4, 30, 2, 2, 7]), 2, seed=1).epoch(2)
    iterated = list(view)
    assert all(equal(view[i], iterated[i]) for i in reversed(range(len(view))))
    with pytest.raises(IndexError):
        view[len(view)]
    assert not SentenceBatches.carries_state


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StreamBatches(np.arange(5), 0, 2), "`batch_size` must be at least 1, not 0"),
        (lambda: StreamBatches(np.arange(5), 2, -1), "`bptt` must be at least 1, not -1"),
        (lambda: StreamBatches(np.arange(5), 2, 2, first_input=-1), "`first_input` must be 0 or more, not -1"),
        (lambda: StreamBatches(np.arange(0), 2, 2), "no tokens"),
        (lambda: StreamBatches(np.arange(5), 2, 2).epoch(-1), "`epoch` must be 0 or more, not -1"),
        (lambda: SentenceBatches(text_of([3]), 0), "`batch_size` must be at least 1, not 0"),
        (lambda: SentenceBatches(text_of([3]), 1, seed=-1), "`seed` must be 0 or more, not -1"),
        (lambda: SentenceBatches(text_of([3]), 1, boundaries=(0, 4)), "boundaries"),
        (lambda: SentenceBatches(text_of([3]), 1, boundaries=()), "boundaries"),
        (lambda: SentenceBatches(text_of([0, 0]), 1), "no tokens"),
        (lambda: SentenceBatches(text_of([]), 1), "no tokens"),
    ],
)
def test_impossible_arguments_are_refused_in_one_line(make, message):
    with pytest.raises(DataError if message == "no tokens" else ArgumentError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
