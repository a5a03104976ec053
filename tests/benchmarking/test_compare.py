"""Candidates that compute something else raise an error before anything is timed."""

import jax
import numpy as np
import pytest

from rnnlm_jax.benchmarking import layers, run
from rnnlm_jax.benchmarking.measure.agreement import check_equal, difference
from rnnlm_jax.benchmarking.measure.candidate import Candidate, Comparison
from rnnlm_jax.errors import WeightsError


def test_difference_is_relative_to_the_largest_entry():
    ours = np.array([2.0, -4.0])
    assert difference(ours, np.array([2.0, -4.4])) == pytest.approx(0.1)
    assert difference(ours, np.array([2.0, np.nan])) == np.inf
    assert difference(ours, np.array([[2.0, -4.0]])) == np.inf
    assert difference(np.zeros(2), np.array([0.0, 3.0])) == 3.0


def test_the_worst_array_is_named_and_arrays_that_a_peer_lacks_are_not_compared():
    ours = {"w": np.ones(3), "b": np.ones(2), "b_n": np.ones(1)}
    check_equal("peer", "work", ours, theirs={"w": np.ones(3) + 1e-5, "b": np.ones(2)}, allowed=1e-4)
    with pytest.raises(WeightsError, match=r"peer computes something else than ours in work: b differs by 0\.5"):
        check_equal("peer", "work", ours, theirs={"w": np.ones(3) + 1e-3, "b": np.ones(2) + 0.5}, allowed=1e-4)


def test_a_contest_compares_before_it_times():
    calls = []

    def candidate(name, value):
        return Candidate(name, lambda: calls.append(name) or value, lambda result: {"x": np.asarray(result)})

    def comparison(*candidates):
        return Comparison("g", "c", "j", {"T": 1}, 10, 1e6, 1e-4, lambda write_line: list(candidates))

    rows = run.measure(comparison(candidate("ours", 1.0), candidate("peer", 1.0)), run.Options(repeats=2), print)
    assert [row.name for row in rows] == ["ours", "peer"]
    calls.clear()
    with pytest.raises(WeightsError, match="peer"):
        run.measure(comparison(candidate("ours", 1.0), candidate("peer", 1.01)), run.Options(repeats=2), print)
    assert calls == ["ours", "peer"]  # first calls only


@pytest.mark.peers
@pytest.mark.parametrize("wrong", ["to_theirs", "to_ours"])
def test_a_wrong_conversion_raises_an_error(wrong, monkeypatch):
    """A matrix transposed on the way to a peer, or a sign lost on the way back."""
    linen = pytest.importorskip("rnnlm_jax.benchmarking.peers.linen_layers")
    table = getattr(linen, wrong.upper())
    right = table["elman-tanh"]

    def mistaken(cell):
        converted = right(cell)
        if wrong == "to_theirs":
            return converted | {"h": {"kernel": converted["h"]["kernel"].T}}
        return converted | {"b": -converted["b"]}

    monkeypatch.setitem(table, "elman-tanh", mistaken)
    monkeypatch.setattr(layers, "EXECUTORS", {})
    monkeypatch.setattr(layers, "JOBS", (layers.BACKWARD,))
    with jax.enable_x64(False):
        (comparison,) = layers.comparisons(
            "layers", ["elman-tanh"], [layers.Shape(3, 2, 4)], dtype="float32", names=["flax-linen"]
        )
        with pytest.raises(WeightsError, match="flax-linen computes something else than ours"):
            run.first_calls(comparison, comparison.build(print))
