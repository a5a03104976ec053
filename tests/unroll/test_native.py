"""The native executor: equal to the scan, by name and by itself, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.errors import UserError
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.native import native, why_not_native
from tests.unroll.programs import (
    CELLS,
    B,
    D,
    H,
    T,
    assert_close,
    make,
    random_arrays,
    random_weights,
    run_with_gradients,
)

CELL = CELLS["lstm"]
#: Those that have kernels.
RUN = {
    "lstm": CELL,
    "lstm-capped": CELLS["lstm-capped"],
    "lstm-state-dropout": cells.state_dropout(CELL, (B,)),
    "lstm-capped-state-dropout": cells.state_dropout(CELLS["lstm-capped"], (B,)),
    "gru": CELLS["gru"],
    "gru-lean": make("gru", candidate_bias=False),
    "elman-sigmoid": CELLS["elman-sigmoid"],
    "elman-lean": make("elman-relu", bias=False),
}
kernels = pytest.mark.skipif(unavailable() is not None, reason=f"no native kernels: {unavailable()}")
EVENTS = np.random.default_rng(0).random((2, T, B)) > 0.3


@kernels
@pytest.mark.parametrize("name", RUN)
@pytest.mark.parametrize(
    "options",
    [{}, {"reverse": True}, {"mask": EVENTS[0], "resets": ~EVENTS[1], "lengths": np.arange(B) + 4}],
    ids=["plain", "reverse", "controlled"],
)
def test_outputs_and_gradients_are_those_of_the_scan(name, options):
    cell = RUN[name]
    arrays, weights = random_arrays(cell), random_weights(cell)
    ours = run_with_gradients(cell, *arrays, weights, executor="native", **options)
    assert_close(ours, run_with_gradients(cell, *arrays, weights, executor="scan", **options), 1e-10)


@kernels
@pytest.mark.parametrize("name", ["lstm", "gru", "elman-tanh"])
def test_it_equals_the_scan_in_float32(name):
    cell = make(name, param_dtype="float32")
    arrays, weights = random_arrays(cell, batch=(1,)), random_weights(cell, batch=(1,))
    ours = run_with_gradients(cell, *arrays, weights, executor="native")
    assert_close(ours, run_with_gradients(cell, *arrays, weights, executor="scan"), 1e-5)


@kernels
@pytest.mark.parametrize(("name", "batch"), [("lstm", ()), ("gru", ()), ("gru", (2, 3))], ids=str)
def test_any_number_of_batch_axes(name, batch):
    cell = RUN[name]
    arrays, weights = random_arrays(cell, batch=batch), random_weights(cell, batch=batch)
    ours = run_with_gradients(cell, *arrays, weights, executor="native")
    assert_close(ours, run_with_gradients(cell, *arrays, weights, executor="scan"), 1e-10)


def refusal(cell, platform="cpu", steps=T, dtype=None):
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    xs = jax.ShapeDtypeStruct((steps, B, D), dtype or cell.spec.param_dtype)
    return why_not_native(cell, params, xs, Control(None, None), platform)


@kernels
def test_it_runs_every_cell_with_a_kernel():
    assert all(refusal(cell) is None for cell in (*RUN.values(), cells.lstm(H), cells.gru(H)))


def test_reasons_why_it_cannot_run():
    assert "this lstm-peephole cell does not" in (refusal(make("lstm-peephole")) or "")
    assert "declare a kernel, and this gru cell does not" in (refusal(make("gru-reset-before")) or "")
    assert "float32" in (refusal(cells.gru(H, dtype="bfloat16")) or "")
    assert "lstm-projected" in (refusal(make("lstm-projected")) or "")
    assert "bfloat16" in (refusal(cells.lstm(H, dtype="bfloat16")) or "")
    assert "float32, float64" in (refusal(CELL, dtype="float32") or "")
    assert "empty" in (refusal(CELL, steps=0) or "")
    assert "gpu" in (refusal(CELL, platform="gpu") or "")
    assert "this lstm cell does not" in (refusal(dataclasses.replace(cells.lstm(H))) or "")
    assert "this gru+state-dropout cell does not" in (refusal(cells.state_dropout(cells.gru(H), (B,))) or "")
    with pytest.raises(UserError, match="this lstm-coupled cell does not"):
        params, state, xs = random_arrays(make("lstm-coupled"))
        native(make("lstm-coupled"), params, state, jnp.asarray(xs), Control(None, None))


def test_a_changed_cell_is_run_as_it_is():
    """An LSTM with another update was run by the plain LSTM's kernel."""
    half = dataclasses.replace(CELL, update=lambda *a: jax.tree.map(lambda leaf: 0.5 * leaf, CELL.update(*a)))
    params, state, xs = random_arrays(CELL)
    assert_close(unroll(half, params, state, xs), unroll(half, params, state, xs, executor="scan"))
    assert not np.allclose(unroll(half, params, state, xs)[1], unroll(CELL, params, state, xs)[1])
