"""Gradients of every zoo member against central differences of the independent reference."""

import jax
import numpy as np
import pytest

from tests.cells import reference
from tests.unroll.programs import CELLS, ZOO, everything, random_arrays, random_weights, run_with_gradients

GROUPS = ("params", "state", "inputs")
STEP = 1e-4


def loss(name, weights, arrays):
    params, state, xs = arrays
    final, hs = reference.run(name, params, state, xs)
    return sum(np.sum(np.asarray(w) * o) for w, o in zip((*weights[0], weights[1]), (*final, hs), strict=True))


def moved(arrays, direction, by):
    return jax.tree.map(lambda a, d: np.asarray(a) + by * d, arrays, direction)


def central_difference(name, weights, arrays, direction):
    """The slope along a direction, to the fourth order of the step."""
    near, far = (
        (loss(name, weights, moved(arrays, direction, h)) - loss(name, weights, moved(arrays, direction, -h))) / (2 * h)
        for h in (STEP, 2 * STEP)
    )
    return (4 * near - far) / 3


def directions(arrays, rng):
    """For parameters, state and inputs: a random direction; and for each of their arrays: one coordinate."""
    flat, structure = jax.tree.flatten(arrays)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(arrays)]
    zeros = [np.zeros(a.shape) for a in flat]
    for group, label in enumerate(GROUPS):
        random = [
            rng.standard_normal(a.shape) * (part == group)
            for part, members in enumerate(arrays)
            for a in jax.tree.leaves(members)
        ]
        norm = np.sqrt(sum(np.sum(r * r) for r in random))
        yield label, jax.tree.unflatten(structure, [r / norm for r in random])
    for k, array in enumerate(flat):
        one = [z.copy() for z in zeros]
        one[k].flat[rng.integers(array.size)] = 1.0
        yield names[k], jax.tree.unflatten(structure, one)


@pytest.mark.parametrize("name", [*ZOO, *reference.VARIANTS])
def test_gradients_are_central_differences_of_the_reference(name):
    cell = CELLS[name]
    arrays = random_arrays(cell, name)
    weights = random_weights(cell, name)
    _, gradients = run_with_gradients(cell, *arrays, weights, **everything())
    if name in reference.KINKS:  # none within reach of the differences
        assert reference.distance_from_kinks(name, *arrays) > 20 * STEP
    scale = np.sqrt(sum(float(np.sum(np.square(g))) for g in jax.tree.leaves(gradients)))
    for label, direction in directions(arrays, np.random.default_rng(0)):
        slopes = jax.tree.map(lambda g, d: float(np.sum(np.asarray(g) * d)), gradients, direction)
        wanted = central_difference(name, weights, arrays, direction)
        assert sum(jax.tree.leaves(slopes)) == pytest.approx(wanted, rel=1e-6, abs=1e-8 * scale), label
