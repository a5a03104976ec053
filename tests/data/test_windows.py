"""Windows of random length: each token once, the same for every reader, with the distribution of the paper."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm_jax.data import RandomBptt, StreamBatches
from rnnlm_jax.data.windows import EpochWindows
from rnnlm_jax.errors import ArgumentError

FIRST = 999

randoms = st.builds(
    RandomBptt,
    probability=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    deviation=st.sampled_from([0.0, 0.7, 3.0]),
    minimum=st.integers(1, 3),
    shapes=st.integers(1, 5),
)


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def lengths_of(steps, bptt, random, seed=0, epoch=0):
    windows = EpochWindows(steps, bptt, random, seed).epoch(epoch)
    return np.diff(windows.bounds(0, len(windows)))


@given(st.integers(1, 300), st.integers(1, 9), st.integers(3, 12), randoms, st.integers(0, 2**31), st.integers(0, 9))
def test_every_token_is_a_target_once_an_epoch_with_its_input(size, batch_size, bptt, random, seed, epoch):
    tokens = np.arange(1, size + 1)
    made = StreamBatches(tokens, batch_size, bptt, first_input=FIRST, random=random, seed=seed)
    batches = made.epoch(epoch)
    assert len(batches) == made.batch_count(epoch)
    inputs, targets, mask = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert targets.T[mask.T].tolist() == tokens.tolist()
    assert inputs.T[mask.T].tolist() == [FIRST, *tokens[:-1].tolist()]
    assert not targets[~mask].any()
    assert not inputs[~mask].any()
    for batch in batches:
        steps = int(batch.mask.any(axis=1).sum())  # padding is at the end
        assert batch.mask[:steps].any(axis=1).all()
        assert steps <= random.longest(bptt)
        fitting = [length for length in random.padded_lengths(bptt) if length >= steps]
        assert batch.inputs.shape == batch.mask.shape == (fitting[0], batch_size)


@given(st.integers(1, 300), st.integers(1, 6), randoms, st.integers(0, 99), st.integers(0, 5), st.integers(0, 6))
def test_a_resumed_job_and_several_processes_have_the_same_windows(size, batch_size, random, seed, epoch, cut):
    tokens, columns = np.arange(1, size + 1), np.arange(batch_size)

    def batches(columns=None):
        return StreamBatches(tokens, batch_size, 7, random=random, seed=seed, columns=columns).epoch(epoch)

    whole, first, second = (batches(some) for some in (None, columns[:cut], columns[cut:]))
    assert len(whole) == len(first) == len(second)
    for batch, *parts in zip(whole, first, second, strict=True):
        assert equal(batch, [np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True)])
    for start in {0, len(whole) // 2, len(whole) - 1, len(whole)}:
        rest = list(batches().after(start))
        assert len(rest) == len(whole) - start
        assert all(equal(a, b) for a, b in zip(rest, itertools.islice(whole, start, None), strict=True))


def test_lengths_are_a_function_of_seed_epoch_and_number():
    random, lengths = RandomBptt(), {}
    for seed, epoch in itertools.product((0, 1), repeat=2):
        lengths[seed, epoch] = lengths_of(4000, 35, random, seed, epoch)
        # A longer text begins with the same windows, however many are drawn at a time.
        longer = lengths_of(90_000, 35, random, seed, epoch)
        assert longer[: lengths[seed, epoch].size - 1].tolist() == lengths[seed, epoch][:-1].tolist()
    for one, other in itertools.combinations(lengths.values(), 2):
        assert one.tolist() != other.tolist()
    assert {values.size for values in lengths.values()} != {-(-4000 // 35)}


def test_lengths_have_the_distribution_of_the_paper():
    bptt, random = 70, RandomBptt()
    found = lengths_of(8_000_000, bptt, random)[:-1]
    lengths, density = random.density(bptt)
    assert density.sum() == pytest.approx(1, abs=1e-12)
    assert (found.min() >= 5) and (found.max() <= 85)
    share = np.array([(found == length).mean() for length in lengths.tolist()])
    error = np.sqrt(density * (1 - density) / found.size)
    assert (np.abs(share - density) <= 5 * error + 1e-6).all()
    assert (found < 52).mean() == pytest.approx(0.05, abs=4e-3)
    assert found[found > 52].std() == pytest.approx(np.sqrt(25 + 1 / 12), rel=0.01)  # of rounding, 1/12
    assert found.mean() == pytest.approx(0.95 * 70 + 0.05 * 35, rel=1e-3)


def test_fixed_lengths_are_a_special_case():
    tokens = np.arange(1, 100)
    random = RandomBptt(probability=1.0, deviation=0.0)
    assert random.padded_lengths(7) == (7,)
    one, other = StreamBatches(tokens, 3, 7), StreamBatches(tokens, 3, 7, random=random).epoch(4)
    assert len(one) == len(other)
    assert all(equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("bptt", "shapes"), [(9, 1), (9, 2), (12, 3)])
def test_padded_lengths_have_the_least_expected_padding(bptt, shapes):
    random = RandomBptt(deviation=1.5, minimum=2, shapes=shapes)
    lengths, density = random.density(bptt)

    def padding(edges):
        edges = np.array(edges)
        return density @ (edges[np.searchsorted(edges, lengths)] - lengths)

    *others, longest = lengths.tolist()
    every = [(*some, longest) for some in itertools.combinations(others, shapes - 1)]
    found = random.padded_lengths(bptt)
    assert len(found) == shapes
    assert padding(found) == pytest.approx(min(map(padding, every)), rel=1e-12)


def test_with_as_many_shapes_as_lengths_nothing_is_padded():
    random = RandomBptt(deviation=2.0, minimum=5, shapes=1000)
    assert random.padded_lengths(10) == tuple(range(5, 17))


@pytest.mark.parametrize("random", [None, RandomBptt(deviation=2.0, minimum=1)])
def test_windows_between_two_steps_are_those_that_end_there(random):
    windows = EpochWindows(103, 10, random, seed=3).epoch(1)
    ends = windows.bounds(0, len(windows))[1:]
    assert [windows.ended_by(step) for step in range(110)] == [int((ends <= step).sum()) for step in range(110)]
    assert windows.bounds(2, 4).tolist() == [ends[1], ends[2], ends[3]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.5}, "`probability` of random windows must be a number from 0 to 1, not 1.5"),
        ({"probability": float("nan")}, "`probability`"),
        ({"probability": True}, "`probability`"),
        ({"deviation": -1}, "`deviation`"),
        ({"deviation": "wide"}, "`deviation`"),
        ({"minimum": 0}, "`minimum` of random windows must be a whole number from 1 on, not 0"),
        ({"shapes": 1.5}, "`shapes`"),
    ],
)
def test_impossible_distributions_are_refused_in_one_line(options, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        RandomBptt(**options)
    assert "\n" not in str(caught.value)


def test_a_minimum_above_the_base_length_is_refused():
    with pytest.raises(ArgumentError, match="`minimum` of random windows is 5, above `bptt` 4: lower it"):
        StreamBatches(np.arange(9), 2, 4, random=RandomBptt())
