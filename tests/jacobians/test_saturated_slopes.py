"""Step Jacobians of saturated cells, every entry against 220 digits, and the spectrum of a saturated cell."""

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import cells, jacobians
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.jacobians.products import step_jacobians
from tests.cells import hyper_dual, reference
from tests.jacobians.exact import log_singular_values
from tests.unroll.programs import ADMISSIBLE, jit

D, H = 1, 3
SCALES = (0.0, 3.0, 8.0, 12.0, 18.0, 40.0, 100.0, 400.0)
#: Cells with several matrix products one after the other in a step. An entry of their Jacobians is a sum over paths
#: that may cancel, and is accurate to the rounding of the largest entry of its row.
COMPOSED = ("rhn", "mogrifier-lstm")


def cell_of(name, dtype):
    options = {"projection_size": 2} if name == "lstm-projected" else {}
    return cells.make(name, H, param_dtype=dtype, **options)


def odd_eighths(rng, shape):
    """Return random odd multiples of 1/8, whose sums with any of ``SCALES`` are exact in float32."""
    return rng.choice([-11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11], shape) / 8


@functools.cache
def points(name):
    """Return parameters and states of a cell, as NumPy arrays, one pair for each of ``SCALES`` of preactivations."""
    # With seed 5 three terms of one entry of the sLSTM cancel to 1/300 of the largest.
    cell, rng = cell_of(name, "float64"), np.random.default_rng(6 if name == "slstm" else 5)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state(())))
    base, state = jax.tree.map(lambda s: odd_eighths(rng, s.shape), shapes)
    if name in ADMISSIBLE:
        base, state = ADMISSIBLE[name](base, state)
    given = [field for field, array in base._asdict().items() if array is not None]
    biases = ["b"] if "b" in given else [field for field in given if field.startswith("b_") or field == "threshold"]
    signs = {field: rng.choice([-1, 1], getattr(base, field).shape) for field in biases}
    result = []
    for scale in SCALES:
        moved = state
        if "cell" in state._fields:
            moved = state._replace(cell=scale * np.reshape([0.5, -0.25, 0.15625], state.cell.shape))
        shifted = {field: getattr(base, field) + scale * signs[field] for field in biases}  # none: nothing saturates
        result.append((base._replace(**shifted), moved))
    return result


@functools.cache
def exact(name):
    """Return ``∂s_t/∂s_{t-1}`` at each of the points, computed two columns at a time."""
    step = reference.CELLS[name][0]
    result = []
    with mpmath.workdps(220):
        for params, state in points(name):
            sizes = [part.size for part in state]
            splits, n, shapes = np.cumsum(sizes)[:-1], sum(sizes), [part.shape for part in state]
            fixed = reference.papers_parameters(name, params).items()
            p = {key: hyper_dual.arrays(value, 0 * value, 0 * value) for key, value in fixed}
            columns = []
            for k in range(0, n, 2):
                u, v = np.eye(n)[k], np.eye(n)[min(k + 1, n - 1)]
                moving = hyper_dual.arrays(np.concatenate([np.ravel(part) for part in state]), u, v)
                before = [part.reshape(shape) for part, shape in zip(np.split(moving, splits), shapes, strict=True)]
                after, _ = step(p, hyper_dual.arrays(np.ones(D), np.zeros(D), np.zeros(D)), before)
                flat = np.concatenate([np.ravel(part) for part in after])
                parts = [hyper_dual.of(entry).parts for entry in flat]
                columns += [[float(part[direction]) for part in parts] for direction in (1, 2)]
            result.append(np.array(columns[:n]).T)
    return np.array(result)


@functools.partial(jit, static_argnums=0)
def both_ways(cell, params, states):
    x = jnp.ones(D, cell.spec.param_dtype)

    def one(params, state):
        by_autodiff = autodiff_jacobian(cell, params, state, cell.input_projection(params, x))
        return jacobians.step_jacobian(cell, params, state, x), by_autodiff

    return jax.vmap(one)(params, states)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", cells.names())
def test_every_entry_is_accurate(name, dtype):
    info = jnp.finfo(dtype)
    params, states = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), dtype), *points(name))
    expected = exact(name)
    sizes = np.abs(expected)
    if name in COMPOSED:
        sizes = sizes.max(axis=-1, keepdims=True)
    allowed = 64 * float(info.eps) * (1 + np.array(SCALES))[:, None, None] * sizes + 64 * float(info.tiny)
    for result in both_ways(cell_of(name, dtype), params, states):
        wrong = np.abs(np.asarray(result, np.float64) - expected) > allowed
        assert not wrong.any(), (np.argwhere(wrong), np.asarray(result)[wrong], expected[wrong])


def test_the_spectrum_of_a_gru_with_saturated_gates_in_float32():
    """It was 46 nats off once, with all values trusted, because derivatives of 1e-7 were differences from 1."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: cells.gru(4).init(jax.random.key(0), 2))
    params = jax.tree.map(lambda s: rng.integers(-8, 9, s.shape) / 8, shapes)
    params = params._replace(b=np.repeat([0.0, -24.0, 8.0], 4) + params.b / 4)
    xs = rng.integers(-8, 9, (40, 2)) / 8

    def in_type(dtype):
        cell = cells.gru(4, param_dtype=dtype)
        return cell, *jax.tree.map(lambda a: jnp.asarray(a, dtype), (params, cell.initial_state(()), xs))

    factors = jit(step_jacobians, static_argnums=0)(*in_type("float64"))
    expected = log_singular_values(np.asarray(factors), 600)
    result = jacobians.spectrum(*in_type("float32"))
    assert result.trusted.all()
    np.testing.assert_allclose(result.log_singular_values[0], expected, rtol=0, atol=1e-2)
