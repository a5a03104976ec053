"""Products of step Jacobians against plain products and closed forms, at long lags, and what is stored."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.jacobians.products import (
    ScaledMatrix,
    keep_product,
    part_of,
    products,
    products_to_end,
    scaled,
    select,
    state_product,
    step_jacobians,
)
from tests.unroll.programs import jit

D, H, T = 3, 4, 5
MAKES = {
    "lstm": lambda: cells.lstm(H, param_dtype="float64"),
    "stack": lambda: cells.stack(cells.gru(3, param_dtype="float64"), cells.lstm(2, param_dtype="float64")),
}
STATE_PRODUCT = jit(state_product, static_argnums=0, static_argnames=("i", "j"))
PRODUCTS = jit(products, static_argnums=0, static_argnames="reduce")
TO_END = jit(products_to_end, static_argnums=0, static_argnames="reduce")


@functools.cache
def case(name):
    """Return a cell, parameters, states and inputs of two sequences, and every ``∂s_i/∂s_j`` by ``[i, j]`` in NumPy."""
    cell = MAKES[name]()
    params = cell.init(jax.random.key(0), D)
    rng = np.random.default_rng(1)
    state = jax.tree.map(lambda a: jnp.asarray(0.5 * rng.normal(size=a.shape)), cell.initial_state((2,)))
    xs = jnp.asarray(rng.normal(size=(T, 2, D)))

    @jit
    def step(s, x):
        z = cell.input_projection(params, x)
        return cell.step(params, s, z), autodiff_jacobian(cell, params, s, z)

    result = []
    for b in range(2):
        s, factors = jax.tree.map(lambda a, b=b: a[b], state), []
        for x in xs[:, b]:
            s, jacobian = step(s, x)
            factors.append(np.asarray(jacobian))
        table = {}
        for j in range(T + 1):
            total = np.eye(len(factors[0]))
            for i in range(j, T + 1):
                table[i, j] = total
                total = factors[i] @ total if i < T else total
        result.append((factors, table))
    return cell, params, state, xs, result


@functools.cache
def from_start(name):
    """Return the products from the start at all lags."""
    cell, params, state, xs, _ = case(name)
    return PRODUCTS(cell, params, state, xs)


@pytest.mark.parametrize("name", MAKES)
def test_products_from_the_start(name):
    *_, result = case(name)
    from_zero = from_start(name)
    assert from_zero.matrix.shape[:2] == (T, 2)
    np.testing.assert_allclose(np.linalg.norm(from_zero.matrix, axis=(-2, -1)), 1, rtol=1e-14)
    for b, (_, table) in enumerate(result):
        for lag in range(1, T + 1):
            np.testing.assert_allclose(from_zero.plain()[lag - 1, b], table[lag, 0], rtol=0, atol=1e-14)


def test_products_to_the_end():
    cell, params, state, xs, result = case("lstm")
    back = TO_END(cell, params, state, xs)
    for b, (_, table) in enumerate(result):
        for lag in range(1, T + 1):
            np.testing.assert_allclose(back.plain()[lag - 1, b], table[T, T - lag], rtol=0, atol=1e-14)
    np.testing.assert_allclose(back.plain()[-1], from_start("lstm").plain()[-1], rtol=0, atol=1e-14)


def test_the_product_between_two_times():
    cell, params, state, xs, result = case("lstm")
    product = STATE_PRODUCT(cell, params, state, xs, i=4, j=2)
    for b, (_, table) in enumerate(result):
        np.testing.assert_allclose(product.plain()[b], table[4, 2], rtol=0, atol=1e-14)


def test_any_number_of_batch_axes():
    cell, params, state, xs, result = case("lstm")
    grid = jax.tree.map(lambda a: a[None, :], state)
    log_scales = PRODUCTS(cell, params, grid, xs[:, None], reduce=lambda product: product.log_scale)
    assert log_scales.shape == (T, 1, 2)
    expected = [[np.log(np.linalg.norm(table[lag, 0])) for _, table in result] for lag in range(1, T + 1)]
    np.testing.assert_allclose(log_scales[:, 0], expected, rtol=0, atol=1e-14)
    stored = jit(step_jacobians, static_argnums=0)(cell, params, state, xs)
    for b, (factors, _) in enumerate(result):
        np.testing.assert_allclose(stored[:, b], np.stack(factors), rtol=0, atol=1e-14)


def test_a_sigmoid_network_at_zero_quarters_the_gradient_at_each_step():
    """With w = 1 and all pre-activations zero, the product of three steps is ¼³."""
    cell = cells.elman(1, "sigmoid", param_dtype="float64")
    params = cells.ElmanParams(*(jnp.ones(shape) for shape in ((1, 1), (1, 1))), b=jnp.zeros(1))
    xs = jnp.asarray([[0.0], [-0.5], [-0.5]])  # they cancel h = 0, then h = ½
    product = STATE_PRODUCT(cell, params, cell.initial_state(()), xs, i=3, j=0)
    np.testing.assert_allclose(product.plain(), [[0.015625]], rtol=5e-16)
    np.testing.assert_array_equal(product.matrix, [[1.0]])
    empty = STATE_PRODUCT(cell, params, cell.initial_state(()), xs, i=2, j=2)
    np.testing.assert_array_equal(empty.plain(), [[1.0]])


def test_an_lstm_that_never_forgets_keeps_its_cell_state():
    """With f = 1 and i = 0, ∂c_i/∂c_j is the identity at every lag and ∂c_i/∂h_j is zero."""
    cell = cells.lstm(3, param_dtype="float64")
    zeros = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), 2))
    params = zeros._replace(b=jnp.concatenate([jnp.full(3, -1e3), jnp.full(3, 1e3), jnp.zeros(6)]))
    state = cell.initial_state(())._replace(cell=jnp.asarray([0.5, -1.0, 2.0]))
    c, h = part_of(cell, "cell"), part_of(cell, "hidden")
    result = TO_END(cell, params, state, jnp.zeros((300, 2)))
    kept = select(result, c, c)
    np.testing.assert_allclose(kept.plain(), np.broadcast_to(np.eye(3), (300, 3, 3)), rtol=0, atol=1e-13)
    np.testing.assert_allclose(kept.log_scale, np.full(300, 0.5 * np.log(3)), rtol=0, atol=1e-13)
    lost = select(result, c, h)
    assert (lost.log_scale == -np.inf).all()
    assert (lost.plain() == 0).all()


@pytest.mark.parametrize(("weight", "dtype"), [(0.5, "float64"), (0.5, "float32"), (3.0, "float64")])
def test_lag_ten_thousand_neither_underflows_nor_overflows(weight, dtype):
    cell = cells.linear(2, param_dtype=dtype)
    params = cell.init(jax.random.key(0), 1)._replace(w_h=weight * jnp.eye(2, dtype=dtype))
    with jax.numpy_dtype_promotion("strict"):
        xs = jnp.zeros((10_000, 1), dtype)
        result = STATE_PRODUCT(cell, params, cell.initial_state(()), xs, i=10_000, j=0)
    assert result.log_scale.dtype == dtype
    expected = 10_000 * math.log(weight) + 0.5 * math.log(2)
    np.testing.assert_allclose(result.log_scale, expected, rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_allclose(result.matrix, np.eye(2) / math.sqrt(2), rtol=1e-6)
    assert result.plain()[0, 0] == (0 if weight < 1 else np.inf)


def test_scaled_matrices_of_any_magnitude():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(2, 3))
    for scale in (1e-300, 1e-160, 1.0, 1e300):
        result = scaled(jnp.asarray(scale * matrix))
        expected = np.log(scale) + np.log(np.linalg.norm(matrix))
        np.testing.assert_allclose(result.log_scale, expected, rtol=1e-15, atol=1e-15)
        np.testing.assert_allclose(result.matrix, matrix / np.linalg.norm(matrix), rtol=1e-14)
    zero = scaled(jnp.zeros((2, 3)))
    assert zero.log_scale == -np.inf
    assert (zero.plain() == 0).all()
    assert np.isnan(scaled(jnp.full((2, 2), jnp.nan)).log_scale)


def test_a_network_of_dead_units_has_a_product_of_exactly_zero():
    cell = cells.elman(2, "relu", param_dtype="float64")
    params = cell.init(jax.random.key(0), 1)._replace(b=jnp.full(2, -5.0))
    result = PRODUCTS(cell, params, cell.initial_state(()), jnp.zeros((3, 1)))
    assert (result.log_scale == -np.inf).all()
    assert (result.matrix == 0).all()


@pytest.mark.parametrize("stream", [products, products_to_end])
def test_a_reduction_stores_no_matrices(stream):
    steps, n = 23, 2 * H
    cell, params, *_ = case("lstm")
    state, xs = cell.initial_state(()), jnp.zeros((steps, D))

    def shapes(reduce):
        closed = jax.make_jaxpr(lambda *args: stream(cell, *args, reduce=reduce))(params, state, xs)
        return {variable.aval.shape for equation in closed.jaxpr.eqns for variable in equation.outvars}

    assert (steps, n, n) in shapes(keep_product)
    assert not any(math.prod(shape) >= steps * n * n for shape in shapes(lambda product: product.log_scale))


def test_parts_of_the_state():
    lstm, gru = cells.lstm(4), cells.gru(3)
    assert part_of(lstm, "hidden") == slice(0, 4)
    assert part_of(lstm, "cell") == slice(4, 8)
    stack = cells.stack(gru, cells.stack(lstm, gru), lstm)
    assert part_of(stack, "hidden", layer=0) == slice(0, 3)
    assert part_of(stack, "cell", layer=1) == slice(7, 11)
    assert part_of(stack, "hidden", layer=2) == slice(11, 14)
    assert part_of(stack, "cell", layer=3) == slice(18, 22)


def test_a_block_is_the_derivative_of_a_part():
    cell, params, state, xs, _ = case("stack")
    state, xs = jax.tree.map(lambda a: a[0], state), xs[:, 0]

    @jit
    @jax.jacobian
    def last_hidden(first_cell):
        now = (state[0], state[1]._replace(cell=first_cell))
        for x in xs[:3]:
            now = cell.step(params, now, cell.input_projection(params, x))
        return now[0].hidden, now[1].hidden

    lower, upper = last_hidden(state[1].cell)
    product = jax.tree.map(lambda a: a[2, 0], from_start("stack"))
    columns = part_of(cell, "cell", layer=1)
    result = select(product, part_of(cell, "hidden", layer=1), columns)
    np.testing.assert_allclose(result.plain(), upper, rtol=0, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(result.matrix), 1, rtol=1e-14)
    assert (lower == 0).all()
    assert select(product, part_of(cell, "hidden", layer=0), columns).log_scale == -np.inf


def test_the_log_norm_of_a_product_has_a_gradient():
    cell = cells.elman(2, param_dtype="float64")
    params = cell.init(jax.random.key(0), 1)
    xs = jnp.asarray([[0.3], [-0.8], [0.5]])

    @jit
    @jax.value_and_grad
    def log_norm(w_h):
        return state_product(cell, params._replace(w_h=w_h), cell.initial_state(()), xs, i=3, j=0).log_scale

    direction, h = jnp.asarray([[0.3, -1.0], [0.7, 0.2]]), 1e-5
    slope = jnp.vdot(log_norm(params.w_h)[1], direction)
    expected = (log_norm(params.w_h + h * direction)[0] - log_norm(params.w_h - h * direction)[0]) / (2 * h)
    np.testing.assert_allclose(slope, expected, rtol=1e-7)


def test_wrong_times_states_and_parts_are_refused():
    cell, params, state, xs, _ = case("lstm")
    for i, j in ((1, 2), (T + 1, 0), (2, -1)):
        with pytest.raises(UserError, match=f"0 <= j <= i <= {T}"):
            state_product(cell, params, state, xs, i=i, j=j)
    with pytest.raises(UserError, match="does not fit"):
        products(cell, params, cell.initial_state((3,)), xs)
    with pytest.raises(UserError, match=r"\(hidden, cell\), not 'memory'"):
        part_of(cell, "memory")
    with pytest.raises(UserError, match=r"\(hidden\), not 'cell'"):
        part_of(cells.gru(2), "cell")
    stack = cells.stack(cell, cell)
    with pytest.raises(UserError, match="must name a layer of the stack, from 0 to 1"):
        part_of(stack, "cell")
    with pytest.raises(UserError, match="`layer` must be from 0 to 1, not 2"):
        part_of(stack, "cell", layer=2)
    assert ScaledMatrix._fields == ("log_scale", "matrix")
