"""The executors that run in parallel over time: results, gradients and certificates, for every cell that they claim."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.unroll import EXECUTORS, Associative, AssociativeBackward, Newton
from rnnlm_jax.unroll.control import Control
from tests.unroll.programs import (
    CELLS,
    NAMES,
    B,
    assert_close,
    make,
    random_arrays,
    random_weights,
    run_with_gradients,
)

#: Not a power of two, and not a multiple of the chunk.
STEPS = 13
CHUNK = 5
PARALLEL = {
    "associative": Associative(chunk=CHUNK),
    "associative-backward": AssociativeBackward(chunk=CHUNK),
    "newton": Newton(chunk=CHUNK),
}
MASK = np.random.default_rng(0).random((STEPS, B)) < 0.8
RESETS = np.random.default_rng(1).random((STEPS, B)) < 0.2
LENGTHS = np.array([STEPS, 7, 0, 11])[:B]
CONTROL = {"mask": jnp.asarray(MASK), "resets": jnp.asarray(RESETS), "lengths": jnp.asarray(LENGTHS, jnp.int32)}


def claims(executor, cell):
    layers = getattr(cell, "layers", (cell,))
    shapes = (jax.eval_shape(lambda: None), jax.eval_shape(lambda: jnp.zeros((1, 1, 1))))
    return all(EXECUTORS[executor].why_not(layer, *shapes, Control(None, None), "cpu") is None for layer in layers)


def saturated(arrays):
    """Parameters ten times as large: gates at 0 or 1, and Jacobians of every size."""
    params, state, xs = arrays
    return jax.tree.map(lambda a: 10 * a, params), state, xs


#: (executor, cell) for every cell that an executor claims.
CLAIMS = [(executor, name) for executor in PARALLEL for name in NAMES if claims(executor, CELLS[name])]


def both(name, executor, arrays, dtype="float64", **options):
    """Results and gradients by the executor and by the plain scan."""
    cell = make(name, param_dtype=dtype)
    arrays = jax.tree.map(lambda a: a.astype(dtype), arrays)
    weights = jax.tree.map(lambda a: a.astype(dtype), random_weights(CELLS[name], name, steps=STEPS))
    run = functools.partial(run_with_gradients, cell, *arrays, weights, **CONTROL, **options)
    return run(executor=executor), run(executor="scan")


def assert_near(actual, wanted, tolerance):
    """Close to ``tolerance`` of the largest number of each of: final state and outputs, gradients by group."""
    (results, gradients), (wanted_results, wanted_gradients) = actual, wanted
    assert_close(results, wanted_results, tolerance)
    for group, wanted_group in zip(gradients, wanted_gradients, strict=True):
        scale = max(float(np.abs(leaf).max(initial=0)) for leaf in jax.tree.leaves(wanted_group))
        for leaf, wanted_leaf in zip(jax.tree.leaves(group), jax.tree.leaves(wanted_group), strict=True):
            np.testing.assert_allclose(leaf, wanted_leaf, rtol=0, atol=tolerance * max(scale, 1e-3))


@pytest.mark.parametrize(("executor", "name"), CLAIMS)
def test_results_and_gradients_are_those_of_the_scan(executor, name):
    arrays = random_arrays(CELLS[name], name, steps=STEPS)
    for case in (arrays, saturated(arrays)):
        actual, wanted = both(name, PARALLEL[executor], case)
        assert_near(actual, wanted, 1e-10)


def test_the_claims():
    """Every linear cell runs by ``associative``; ``newton`` runs all."""
    by_executor = {executor: {name for each, name in CLAIMS if each == executor} for executor in PARALLEL}
    assert by_executor["newton"] == set(NAMES)
    linear = {name for name in NAMES if CELLS[name].facts.is_linear or CELLS[name].facts.newton_iterations}
    assert by_executor["associative"] == linear
    assert {"linear", "mingru"} <= linear
