"""Cells pickle and copy as the call that made them: the same object comes back, in another process an equal one."""

import copy
import dataclasses
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells
from rnnlm_jax.cells import initializers


def constant_init(key, shape, dtype=jnp.float32):
    del key
    return jnp.full(shape, 0.1, dtype)


LSTM, GRU = cells.lstm(5, forget_bias=2.0), cells.gru(5, reset="before")
CELLS = {
    **{name: cells.make(name, 5) for name in cells.names()},
    "float64": cells.lstm(5, param_dtype="float64"),
    "bfloat16": cells.gru(5, dtype="bfloat16"),
    "linear": cells.linear(5, bias=False),
    "none": cells.no_cell(),
    "stack": cells.stack(LSTM, GRU, residual=True),
    "stack of stacks": cells.stack(cells.stack(LSTM, GRU), cells.stack(GRU)),
    "both directions": cells.bidirectional(LSTM, GRU),
    "zoneout": cells.zoneout(LSTM, hidden=0.1, cell=0.5),
    "sampled zoneout": cells.zoneout(LSTM, hidden=0.1, cell=0.5).sampled,
    "state dropout": cells.state_dropout(LSTM, (3,)),
    "own initialiser": cells.lstm(5, recurrent_init=constant_init),
    "radius": cells.elman(5, recurrent_init=initializers.spectral_radius(0.9)),
    **{f"init {name}": cells.elman(5, recurrent_init=init) for name, init in initializers.RECURRENT.items()},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", CELLS)
def test_the_same_object_comes_back(name, protocol):
    cell = CELLS[name]
    assert pickle.loads(pickle.dumps(cell, protocol)) is cell


@pytest.mark.parametrize("name", CELLS)
def test_copies_are_the_cell_itself(name):
    cell = CELLS[name]
    assert copy.copy(cell) is cell
    assert copy.deepcopy(cell) is cell
    assert copy.deepcopy({"cells": [cell]})["cells"][0] is cell


def test_cells_pickle_by_cloudpickle():
    cloudpickle = pytest.importorskip("cloudpickle")
    for cell in CELLS.values():
        assert pickle.loads(cloudpickle.dumps(cell)) is cell
    local = cells.lstm(5, recurrent_init=lambda key, shape, dtype: jnp.ones(shape, dtype))
    params = pickle.loads(cloudpickle.dumps(local)).init(jax.random.key(0), 3)
    assert (params.w_h == 1).all()


def test_a_replaced_cell_pickles_by_its_fields():
    changed = dataclasses.replace(LSTM, readout=read_nothing)
    with pytest.raises((pickle.PicklingError, AttributeError)):  # its other functions are closures
        pickle.dumps(changed)
    by_hand = cells.Cell(LSTM.spec, constant_init, constant_init, read_nothing, read_nothing)
    assert pickle.loads(pickle.dumps(by_hand)) == by_hand


def read_nothing(params, state):
    del params, state


def test_another_process_gets_the_same_cell():
    """As ``multiprocessing`` with ``spawn`` sends it; there, too, equal calls give one object."""
    program = (
        "import pickle, sys; cell = pickle.load(sys.stdin.buffer); from rnnlm_jax import cells; "
        "print(cell is cells.stack(cells.lstm(5, 2.0), cells.gru(5, 'before'), residual=True))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(CELLS["stack"]), capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == "True"
