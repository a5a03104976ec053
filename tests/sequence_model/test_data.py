"""Arrays of one's own as sequences, and the batches that are made of them."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.sequence_model import (
    ArrayBatches,
    GeneratedBatches,
    SequenceData,
    StreamBatches,
    TaskBatches,
    sequence_data,
)
from rnnlm_jax.tasks import Sequences, classification, parity, regression

RNG = np.random.default_rng(1)
T, N, D = 5, 7, 3
XS = RNG.normal(size=(T, N, D))
LENGTHS = np.asarray([5, 1, 3, 5, 2, 4, 5])
KEY = jax.random.key(0)


def test_a_class_is_asked_at_the_last_step_of_each_sequence():
    classes = RNG.integers(0, 4, size=N)
    padded = np.where((np.arange(T)[:, None] < LENGTHS)[..., None], XS, np.nan)
    data = sequence_data(classification(D, 4), padded, classes, lengths=LENGTHS)
    steps, numbers = np.nonzero(np.asarray(data.mask))
    assert sorted(zip(numbers.tolist(), steps.tolist(), strict=True)) == list(enumerate((LENGTHS - 1).tolist()))
    assert np.asarray(data.targets)[steps, numbers].tolist() == classes[numbers].tolist()
    assert data.targets.dtype == jnp.int32
    assert data.inputs.dtype == jnp.float64  # as the tests run with x64
    assert np.isfinite(data.inputs).all()
    assert data.lengths.tolist() == LENGTHS.tolist()


def test_an_answer_at_every_step():
    tags = RNG.integers(0, 4, size=(T, N))
    data = sequence_data(classification(6, 4), RNG.integers(0, 6, size=(T, N)), tags)
    assert data.mask.all()
    assert data.lengths is None
    np.testing.assert_array_equal(data.targets, tags)
    numbers = RNG.normal(size=(T, N))
    data = sequence_data(regression(D), XS, numbers, lengths=LENGTHS)
    assert data.targets.shape == (T, N, 1)
    assert int(data.mask.sum()) == LENGTHS.sum()
    at_end = sequence_data(regression(D, 2), XS, RNG.normal(size=(N, 2)))
    assert at_end.mask.sum(axis=0).tolist() == [1] * N


@pytest.mark.parametrize(
    ("objective", "inputs", "targets", "options", "message"),
    [
        (classification(D, 4), XS[..., :2], np.zeros(N, int), {}, r"`inputs` must be .* \[T, N, 3\]"),
        (classification(D, 4), XS, np.zeros(N + 1, int), {}, "`targets` must be whole numbers of shape"),
        (classification(D, 4), XS, np.zeros(N), {}, "`targets` must be whole numbers"),
        (classification(D, 4), XS, np.full(N, 4), {}, "`targets` must be from 0 to 3, not 4 to 4"),
        (classification(2, 4), np.full((T, N), 2), np.zeros(N, int), {}, "`inputs` must be from 0 to 1"),
        (regression(D), XS * np.nan, np.zeros(N), {}, "`inputs` has numbers that are not finite"),
        (regression(D), XS, np.full(N, np.inf), {}, "`targets` has numbers that are not finite"),
        (regression(D), XS, np.zeros(N), {"lengths": [1, 2]}, "`lengths` must be 7 whole numbers"),
        (regression(D), XS, np.zeros(N), {"lengths": [0] * N}, "`lengths` must be from 1 to 5"),
        (regression(D), XS, np.zeros(N), {"lengths": [6] * N}, "`lengths` must be from 1 to 5"),
    ],
)
def test_arrays_that_do_not_fit(objective, inputs, targets, options, message):
    with pytest.raises(ArgumentError, match=message):
        sequence_data(objective, inputs, targets, **options)


def test_impossible_objectives():
    with pytest.raises(ArgumentError, match="`classes` must be a positive whole number"):
        classification(3, 0)
    with pytest.raises(ArgumentError, match="`tolerance` must be a positive number"):
        regression(3, tolerance=0)


def numbered(count):
    """Data whose inputs are the number of each sequence."""
    numbers = np.broadcast_to(np.arange(count, dtype=float)[:, None], (T, count, 1)).copy()
    return sequence_data(regression(1), numbers, np.arange(count, dtype=float), lengths=np.full(count, T))


def drawn(batches, first, count, seeds=(0,), seed=0):
    items = batches.items(first, count, seeds)
    of_steps = [jax.tree.map(operator.itemgetter((k, seed)), items) for k in range(count)]
    return [batches.draw(batches.arrays, KEY, item) for item in of_steps]


def test_an_epoch_has_every_sequence_once():
    batches = ArrayBatches(numbered(7), 2)  # three batches an epoch, and one sequence is left over
    epochs = []
    for epoch in range(3):
        found = [np.asarray(batch.inputs)[0, :, 0].astype(int).tolist() for batch in drawn(batches, 3 * epoch, 3)]
        epochs.append(sum(found, []))
        assert len(set(epochs[-1])) == 6
    assert len(set(map(tuple, epochs))) == 3
    batch = drawn(batches, 0, 1)[0]
    np.testing.assert_array_equal(batch.targets[-1, :, 0], batch.inputs[0, :, 0])
    assert batch.lengths.tolist() == [T, T]


def test_batches_are_functions_of_seed_and_step():
    batches = ArrayBatches(numbered(7), 2)
    together = batches.items(0, 8, (3, 4))
    np.testing.assert_array_equal(np.concatenate([batches.items(0, 5, (3, 4)), batches.items(5, 3, (3, 4))]), together)
    np.testing.assert_array_equal(batches.items(0, 8, (4,))[:, 0], together[:, 1])
    assert (together[:, 0] != together[:, 1]).any()


def test_windows_of_a_stream_come_in_order():
    stream = SequenceData(jnp.arange(14.0).reshape(7, 2, 1), jnp.zeros((7, 2, 1)), jnp.ones((7, 2), bool))
    batches = StreamBatches(stream, 3)
    assert (batches.windows, batches.batch_size, batches.carries_state) == (2, 2, True)
    windows = [np.asarray(batch.inputs)[:, 0, 0].tolist() for batch in drawn(batches, 0, 3)]
    assert windows == [[0, 2, 4], [6, 8, 10], [0, 2, 4]]
    assert [bool(batches.begins(item[0])) for item in batches.items(0, 3, (0,))] == [True, False, True]


def test_a_generator_goes_on_where_a_run_was_stopped():
    def generator():
        for k in range(6):
            yield Sequences(np.full((2, 3, 1), k, float), np.zeros((2, 3, 1)), np.ones((2, 3), bool))

    found = [float(batch.inputs[0, 0, 0]) for batch in drawn(GeneratedBatches(generator()), 0, 4)]
    assert found == [0, 1, 2, 3]
    resumed = GeneratedBatches(generator())
    assert [float(batch.inputs[0, 0, 0]) for batch in drawn(resumed, 3, 2, (0, 1), seed=1)] == [3, 4]
    with pytest.raises(ArgumentError, match="ends after 6 steps"):
        resumed.items(5, 2, (0,))


def test_impossible_batches():
    one = SequenceData(np.zeros((2, 3, 1)), np.zeros((2, 3, 1)), np.ones((2, 3), bool))
    with pytest.raises(ArgumentError, match="`batch_size` 8 is more than the 7 sequences"):
        ArrayBatches(numbered(7), 8)
    with pytest.raises(ArgumentError, match="`bptt` 3 is more than the 2 steps"):
        StreamBatches(one, 3)
    with pytest.raises(ArgumentError, match="a stream has no `lengths`"):
        StreamBatches(numbered(7), 2)
    with pytest.raises(ArgumentError, match="yields none"):
        GeneratedBatches(iter(()))
    with pytest.raises(ArgumentError, match="several shapes"):
        GeneratedBatches([one, one._replace(inputs=np.zeros((2, 3, 2)))]).items(0, 2, (0,))
    with pytest.raises(ArgumentError, match="`length` must be a positive whole number"):
        TaskBatches(parity(), 4, 0)


def test_descriptions_tell_batches_apart():
    descriptions = [
        TaskBatches(parity(), 4, 5).describe(),
        TaskBatches(parity(), 4, 6).describe(),
        ArrayBatches(numbered(7), 2).describe(),
        StreamBatches(numbered(7)._replace(lengths=None), 2).describe(),
    ]
    assert len(set(descriptions)) == 4
    assert descriptions[0] == "4 of length 5 of parity()"
