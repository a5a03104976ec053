"""Executors by name: what runs a cell unasked, what refuses, and that the one asked for is the one that runs."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll import EXECUTORS, choose_executor, describe_executor
from rnnlm_jax.unroll.control import Control
from tests.unroll.programs import CELLS, ZOO, B, D, T, make, random_arrays

NOTHING = Control(None, None)


def choose(name, platform, requested=None, control=NOTHING, **options):
    cell = make(name, **options)
    params, _, xs = jax.eval_shape(lambda: random_arrays(cell, name))
    return choose_executor(cell, params, xs, control, platform=platform, executor=requested)


def test_the_executors():
    parallel = ["associative", "associative-backward", "newton"]
    assert list(EXECUTORS) == ["scan", "structured", "native", "cudnn", *parallel]


@pytest.mark.parametrize("name", ZOO)
def test_the_default_is_structured_if_the_cell_splits(name):
    """Where the platform has nothing of its own: structured, if the cell splits."""
    assert choose(name, "tpu") == ("structured" if CELLS[name].splits else "scan")


def test_the_fastest_executor_runs_unless_it_cannot(monkeypatch):
    for reason, wanted in ((None, "native"), ("it is tired", "structured")):
        picky = dataclasses.replace(EXECUTORS["native"], why_not=lambda *_, reason=reason: reason)
        monkeypatch.setitem(EXECUTORS, "native", picky)
        assert choose("lstm", "cpu") == wanted
    assert choose("lstm", "gpu") == "structured"  # what jax has of cuDNN lacks derivatives: only for those who ask


def test_requesting_an_executor_that_cannot_run_is_an_error():
    with pytest.raises(UserError, match="cudnn executor cannot run this: .*plain LSTM"):
        choose("gru", "gpu", requested="cudnn")
    with pytest.raises(UserError, match="native executor cannot run this: .*tpu"):
        choose("lstm", "tpu", requested="native")
    names = ", ".join(EXECUTORS)
    with pytest.raises(UserError, match=f"`executor` must be one of {names}, not 'fast'"):
        unroll(CELLS["gru"], *random_arrays(CELLS["gru"]), executor="fast")


@pytest.mark.parametrize("remat_chunk", [None, 3])
def test_the_requested_executor_runs_every_part(monkeypatch, remat_chunk):
    """In stacks, in pairs, in chunks; and it gets direction, control and factor."""
    calls = []

    def record(cell, params, state, xs, control, *, reverse=False, scan_unroll=1):
        calls.append((cell.spec.kind, reverse, control.mask is not None, scan_unroll))
        return EXECUTORS["scan"].run(cell, params, state, xs, control, reverse=reverse, scan_unroll=scan_unroll)

    monkeypatch.setitem(EXECUTORS, "structured", dataclasses.replace(EXECUTORS["structured"], run=record))
    cell = cells.stack(cells.bidirectional(make("lstm"), make("gru")), make("elman-tanh"))
    mask = jnp.ones((T, B), bool)
    options = {"executor": "structured", "remat_chunk": remat_chunk, "scan_unroll": 2}
    jax.eval_shape(lambda *a: unroll(cell, *a, mask=mask, **options), *random_arrays(cell))
    assert set(calls) == {("lstm", False, True, 2), ("gru", True, True, 2), ("elman", False, True, 2)}


def test_the_description_names_each_kind_once():
    gru, elman = cells.gru(4), cells.elman(4)
    cell = cells.stack(cells.bidirectional(gru, cells.gru(4, reset="before")), elman, elman)
    assert describe_executor(cell, D, platform="tpu") == "gru: structured, gru: scan, elman: structured"
    assert describe_executor(cell, D, executor="scan") == "gru: scan, elman: scan"
    with pytest.raises(UserError, match="cudnn"):
        describe_executor(cell, D, executor="cudnn", platform="gpu")
