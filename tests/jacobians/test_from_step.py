"""Cells from plain functions: equal to cells of the zoo, any tree as state, no inputs, transformations, errors."""

import functools
import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians, unroll
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure
from rnnlm_jax.unroll.newton import Newton
from tests.jacobians.dynamical_systems import LORENZ, henon, lorenz_step

T, D, H = 6, 3, 4
KEY = jax.random.key(3)


@functools.cache
def zoo(name):
    """Return a cell of the zoo, the cell of its own step as a plain function, parameters, a state and inputs."""
    cell = cells.make(name, H, param_dtype="float64")

    def step(params, state, x):
        return cell.step(params, state, cell.input_projection(params, x))

    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: (cell.init(KEY, D), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.5 * rng.normal(size=s.shape)), shapes)
    xs = jnp.asarray(rng.normal(size=(T, D)))
    return cell, jacobians.from_step(step, state, readout=lambda s: s.hidden), params, state, xs


def half_square(h):
    return 0.5 * (h * h).sum(axis=-1)


def total_half_square(hs):
    return 0.5 * (hs * hs).sum()


def states_of(state, count):
    return jax.tree.map(lambda leaf: jnp.stack([(1 + 0.1 * k) * leaf for k in range(count)]), state)


#: Every function of a cell, at one sequence.
FUNCTIONS = {
    "step_jacobian": lambda c, p, s, xs: jacobians.step_jacobian(c, p, s, xs[0]),
    "step_operator": lambda c, p, s, xs: jacobians.step_operator(c, p, s, c.input_projection(p, xs[0])).jvp(
        jnp.ones(jacobians.state_size(c))
    ),
    "step_log_abs_det": lambda c, p, s, xs: jacobians.step_log_abs_det(
        c, p, states_of(s, len(xs)), c.input_projection(p, xs)
    ),
    "products": lambda c, p, s, xs: jacobians.products(c, p, s, xs).plain(),
    "products_to_end": lambda c, p, s, xs: jacobians.products_to_end(c, p, s, xs).plain(),
    "state_product": lambda c, p, s, xs: jacobians.state_product(c, p, s, xs, i=5, j=2).plain(),
    "spectrum": lambda c, p, s, xs: jacobians.spectrum(c, p, s, xs, lags=[2, T]).log_singular_values,
    "top_singular": lambda c, p, s, xs: jacobians.top_singular(c, p, s, xs, k=2, key=KEY).log_singular_values,
    "eigenvalue_moduli": lambda c, p, s, xs: jacobians.eigenvalue_moduli(c, p, s, xs).log_moduli,
    "lyapunov_spectrum": lambda c, p, s, xs: jacobians.lyapunov_spectrum(c, p, s, xs, key=KEY)[:4],
    "gradient_flossing": lambda c, p, s, xs: jacobians.gradient_flossing(c, p, s, xs, count=2, key=KEY),
    "gradient_by_lag": lambda c, p, s, xs: jacobians.gradient_by_lag(c, p, s, xs, loss_of_output=half_square)[:2],
    "state_cotangents": lambda c, p, s, xs: jacobians.state_cotangents(
        c, p, s, xs, output_cotangents=jnp.ones((len(xs), c.spec.output_size))
    ),
    "pascanu_omega": lambda c, p, s, xs: jacobians.pascanu_omega(c, p, s, xs, loss_of_outputs=total_half_square),
    "fixed_points": lambda c, p, s, xs: jacobians.fixed_points(c, p, xs[0], starts=states_of(s, 3)).residual < 1e-12,
    "fixed_point_eigenvalues": lambda c, p, s, xs: np.abs(
        jacobians.fixed_point_eigenvalues(c, p, xs[0], states=states_of(s, 3))
    ),
    "controlled": lambda c, p, s, xs: controlled_products(c, p, s, xs),
    "finite_time_exponents": lambda c, p, s, xs: jacobians.finite_time_exponents(c, p, s, xs, window=3, key=KEY),
    "covariant_vectors": lambda c, p, s, xs: (
        jacobians.covariant_vectors(c, p, s, xs, key=KEY, burn_in=2, burn_out=2, count=2).log_growth
    ),
    "singular_vectors": lambda c, p, s, xs: jacobians.singular_vectors(c, p, s, xs, lags=[2], k=1).log_singular_values,
    "slow_points": lambda c, p, s, xs: jacobians.slow_points(c, p, xs[0], starts=states_of(s, 3)).speed < 1e-5,
    "output_jacobian": lambda c, p, s, xs: jacobians.output_jacobian(c, p, s, xs[0]),
    "state_to_output": lambda c, p, s, xs: jacobians.state_to_output(c, p, s, xs, i=5, j=2).plain(),
    "input_jacobian": lambda c, p, s, xs: jacobians.input_jacobian(c, p, s, xs[0]),
    "input_to_state": lambda c, p, s, xs: jacobians.input_to_state(c, p, s, xs, i=5, j=2).plain(),
    "input_to_output": lambda c, p, s, xs: jacobians.input_to_output(c, p, s, xs, i=5, j=2).plain(),
}
#: Those whose results have an axis of the inputs.
BY_INPUT = {"input_jacobian", "input_to_state", "input_to_output"}


def controlled_products(cell, params, state, xs):
    """Return the products of a sequence with a masked step."""
    cell, xs = jacobians.controlled(cell, xs, mask=np.arange(len(xs)) != 2)
    return jacobians.products(cell, params, state, xs).plain()


@pytest.mark.parametrize(
    ("name", "function"),
    [*(("gru", each) for each in FUNCTIONS), *(("lstm", each) for each in ("products", "gradient_by_lag"))],
)
def test_a_plain_step_has_the_numbers_of_the_zoos_cell(name, function):
    cell, own, params, state, xs = zoo(name)
    expected = FUNCTIONS[function](cell, params, state, xs)
    result = FUNCTIONS[function](own, params, state, xs)
    assert jax.tree.structure(result) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_every_function_of_a_cell_is_compared():
    taking_cells = {"decay_rates", "part_of", "state_size", "controlled"} | set(FUNCTIONS)
    of_matrices_or_results = {
        *("covariant_of_matrices", "distinct", "eigenbasis", "from_step", "hessian_eigenvalues"),
        *("kaplan_yorke_dimension", "log_component_moduli"),
        *("log_eigenvalue_moduli", "lyapunov_of_matrices", "power", "product_spectrum", "select"),
    }
    functions = {name for name in jacobians.__all__ if name[0].islower()}
    assert functions - of_matrices_or_results == taking_cells


class Memory(NamedTuple):
    """Part of a state, as a class of one's own."""

    c: jax.Array
    unused: None = None


def nested_lstm(params, state, x):
    """The LSTM of the zoo with its state in a tree of dicts, tuples and arrays of two axes."""
    cell = zoo("lstm")[0]
    before = cells.LSTMState(hidden=state["h"].reshape(H), cell=state["memory"].c)
    after = cell.step(params, before, cell.input_projection(params, x))
    return {"h": after.hidden.reshape(2, 2), "memory": Memory(after.cell)}


def test_a_nested_state_has_the_numbers_of_the_flat_one():
    cell, _, params, state, xs = zoo("lstm")
    own = jacobians.from_step(nested_lstm, {"h": jnp.zeros((2, 2)), "memory": Memory(jnp.zeros(H))})
    nested = {"h": state.hidden.reshape(2, 2), "memory": Memory(state.cell)}
    for function in ("products", "step_jacobian"):  # "h" before "memory", as in an LSTMState
        expected = FUNCTIONS[function](cell, params, state, xs)
        np.testing.assert_allclose(FUNCTIONS[function](own, params, nested, xs), expected, rtol=0, atol=1e-12)
    by_lag = jacobians.gradient_by_lag(own, params, nested, xs, loss_of_output=lambda h: half_square(h[..., :H]))
    expected = jacobians.gradient_by_lag(cell, params, state, xs, loss_of_output=half_square)
    np.testing.assert_allclose(by_lag.state["memory"].c, expected.state.cell, rtol=1e-12)
    assert jacobians.part_of(own, "h") == slice(0, H)
    assert jacobians.part_of(own, "memory") == jacobians.part_of(own, "memory.c") == slice(H, 2 * H)
    with pytest.raises(UserError, match=r"\(h, memory.c\), not 'mem'"):
        jacobians.part_of(own, "mem")


def test_batch_axes_are_mapped_over():
    cell, own, params, state, xs = zoo("gru")
    states, batch = states_of(state, 2), jnp.stack([xs, -xs], axis=1)
    calls = (
        lambda c: jacobians.gradient_by_lag(c, params, states, batch, loss_of_output=half_square)[:2],
        lambda c: jacobians.state_cotangents(c, params, states, batch, output_cotangents=jnp.ones((T, 2, H))),
        lambda c: jacobians.products(c, params, states, batch),
    )
    for call in calls:
        for one, other in zip(*map(jax.tree.leaves, (call(own), call(cell))), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_jit_vmap_and_grad_go_through():
    cell, own, params, state, xs = zoo("gru")
    states = states_of(state, 3)

    def largest(cell, params, state):
        return jacobians.lyapunov_spectrum(cell, params, state, xs, key=KEY, count=1).exponents[0]

    def total(cell, params):
        return jax.vmap(lambda state: largest(cell, params, state))(states).sum()

    result = jax.jit(jax.value_and_grad(functools.partial(total, own)))(params)
    expected = jax.jit(jax.value_and_grad(functools.partial(total, cell)))(params)
    for one, other in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_unroll_runs_a_plain_step_that_has_initial_parameters():
    cell, _, params, state, xs = zoo("gru")

    def step(params, state, x):
        return cell.step(params, state, cell.input_projection(params, x))

    own = jacobians.from_step(step, cell.initial_state(()), readout=lambda s: s.hidden, init=cell.init)
    resets = np.arange(T) == 3
    for executor in ("scan", Newton()):
        last, hs = unroll(own, params, state, xs, resets=resets, executor=executor)
        last_of_zoo, hs_of_zoo = unroll(cell, params, state, xs, resets=resets, executor="scan")
        np.testing.assert_allclose(hs, hs_of_zoo, rtol=0, atol=1e-12)
        np.testing.assert_allclose(last.hidden, last_of_zoo.hidden, rtol=0, atol=1e-12)
    without = jacobians.from_step(step, cell.initial_state(()))
    with pytest.raises(UserError, match="has no initial parameters: give its `init`"):
        unroll(without, params, state, xs)


# systems without inputs


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - BY_INPUT - {"products_to_end"}))
def test_every_function_takes_a_system_without_inputs(function):
    """Equal to the system with an input that it does not read."""
    cell, state = jacobians.from_step(lorenz_step, jnp.ones(3)), jnp.asarray([1.0, -2.0, 20.0])
    results = [FUNCTIONS[function](cell, LORENZ, state, jnp.zeros((T, size))) for size in (0, 1)]
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_system_without_inputs_has_no_gradient_by_inputs():
    cell = jacobians.from_step(lorenz_step, jnp.ones(3))
    found = jacobians.gradient_by_lag(cell, LORENZ, jnp.ones(3), jnp.zeros((T, 0)), loss_of_output=half_square)
    assert (found.inputs == -np.inf).all()
    assert np.isfinite(found.state).all()


def test_a_reset_returns_to_the_state_that_the_cell_was_made_with():
    start = {"u": jnp.asarray([1.0, 2.0, 3.0])}

    def step(params, state, x):
        return {"u": lorenz_step(params, state["u"], x)}

    cell, xs = jacobians.controlled(jacobians.from_step(step, start), jnp.zeros((T, 0)), resets=np.arange(T) == T - 1)
    zs = cell.input_projection(LORENZ, xs)
    state = cell.step(LORENZ, {"u": jnp.full(3, 7.0)}, zs[-1])
    np.testing.assert_array_equal(state["u"], lorenz_step(LORENZ, start["u"], None))


def test_scalars_are_states_and_a_structure_may_be_declared():
    """A map of two numbers that do not meet: x ← a x (1 - x), y ← y / 2."""

    def step(a, state, x):
        return (a * state[0] * (1 - state[0]), 0.5 * state[1])

    dense = jacobians.from_step(step, (0.3, 1.0))
    diagonal = dense.with_facts(CellFacts(jacobian=JacobianStructure.DIAGONAL))
    results = [
        jacobians.lyapunov_spectrum(cell, 4.0, (0.3, 1.0), jnp.zeros((2100, 0)), key=KEY, burn_in=100)
        for cell in (dense, diagonal)
    ]
    for found in results:
        np.testing.assert_allclose(found.exponents[1], -np.log(2), rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.exponents[0], np.log(2), rtol=0, atol=0.02)  # the logistic map at a = 4


# one object, and errors


def test_equal_arguments_give_one_cell_that_pickles():
    made = [jacobians.from_step(henon, state) for state in (jnp.zeros(2), np.zeros(2), jnp.ones(2))]
    assert made[0] is made[1]
    assert made[0] is not made[2]
    assert pickle.loads(pickle.dumps(made[2])) is made[2]
    assert made[0].initial_state((3, 2)).shape == (3, 2, 2)
    with jax.enable_x64(False):
        assert jacobians.from_step(henon, np.zeros(2)).spec.param_dtype == "float32"


def test_a_float32_step_is_measured_where_x64_is_off():
    cell, _, params, state, xs = zoo("gru")
    with jax.enable_x64(False):
        cell32 = cells.gru(H)

        def step(params, state, x):
            return cell32.step(params, state, cell32.input_projection(params, x))

        params32, state32 = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), "float32"), (params, state))
        own = jacobians.from_step(step, state32)
        found = jacobians.spectrum(own, params32, state32, np.asarray(xs), lags=[T])
        assert found.log_singular_values.dtype == "float32"
    expected = jacobians.spectrum(cell, params, state, xs, lags=[T])
    np.testing.assert_allclose(found.log_singular_values, expected.log_singular_values, rtol=0, atol=1e-3)


def test_constants_of_a_float32_step_stay_narrow_where_it_is_measured_in_float64():
    """Matrices of NumPy are float64, and jax narrows them where x64 is off."""
    matrix = 0.5 * np.random.default_rng(1).normal(size=(H, H))

    def step(params, state, x):
        return jnp.tanh(matrix @ state + 0.1 * jnp.ones(H))

    with jax.enable_x64(False):
        cell = jacobians.from_step(step, jnp.zeros(H))
        found = jacobians.spectrum(cell, None, jnp.zeros(H), jnp.zeros((T, 0)), lags=[1])
        assert found.log_singular_values.dtype == "float32"
    expected = np.linalg.svd(matrix / np.cosh(0.1) ** 2, compute_uv=False)
    np.testing.assert_allclose(np.exp(found.log_singular_values[0]), expected, rtol=1e-5)


ARRAY = jnp.zeros(2)


@pytest.mark.parametrize(
    ("step", "state", "message"),
    [
        ("henon", ARRAY, r"`step` must be a function \(params, state, x\) -> state, not a str"),
        (henon, {"n": jnp.int32(0)}, r"`state`\['n'\] is int32, which has no derivatives: convert it"),
        (henon, {"on": True}, r"`state`\['on'\] is bool, which has no derivatives"),
        (henon, ARRAY + 1j, "`state` is complex128: keep its real and imaginary parts as two arrays"),
        (henon, (ARRAY, "text"), r"`state`\[1\] must be an array of floating-point numbers, not a str"),
        (henon, {"key": KEY}, r"`state`\['key'\] is of key<fry>: keep random keys among `params`"),
        (henon, (ARRAY, ARRAY.astype("float32")), "leaves of float32 and float64: convert them to one dtype"),
        (henon, (), "`state` has no numbers"),
        (henon, jnp.zeros((0,)), "`state` has no numbers"),
    ],
)
def test_arguments_that_make_no_cell_are_refused(step, state, message):
    with pytest.raises(UserError, match=message) as caught:
        jacobians.from_step(step, state)
    assert "\n" not in str(caught.value)


class Unhashable:
    """A module with arrays, as Equinox has them."""

    __hash__ = None  # pyright: ignore

    def __call__(self, params, state, x):
        """Return the state."""
        return state


def test_other_functions_and_traced_states_are_refused():
    with pytest.raises(UserError, match="`step` is a Unhashable that holds arrays: .* and the Unhashable as `params`"):
        jacobians.from_step(Unhashable(), ARRAY)
    with pytest.raises(UserError, match=r"`readout` must be a function \(state\) -> h, not a int"):
        jacobians.from_step(henon, ARRAY, readout=3)  # pyright: ignore
    with pytest.raises(UserError, match=r"`readout` must return one vector \[K\], not \(\)"):
        jacobians.from_step(henon, ARRAY, readout=lambda s: s[0])
    with pytest.raises(UserError, match=r"`readout` must return one vector \[K\], not tuple"):
        jacobians.from_step(henon, ARRAY, readout=lambda s: (s, s))  # pyright: ignore
    with pytest.raises(UserError, match="`state` is traced: call from_step outside of jit"):
        jax.jit(lambda state: jacobians.from_step(henon, state).initial_state(()))(ARRAY)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda p, s, x: {"u": s}, r"`step` returns \{'u': \*\} for a state \*"),
        (
            lambda p, s, x: (s, s),
            r"returns \(\*, \*\) for a state \*; of a pair \(state, output\), return the",
        ),
        (lambda p, s, x: s[:1], r"`step` returns state of shape \(1,\) for one of shape \(2,\)"),
        (lambda p, s, x: s.astype("float32"), "`step` returns state of float32 for one of float64: convert"),
        (lambda p, s, x: s.astype(int), "`step` returns state of int64 for one of float64"),
    ],
)
def test_a_step_that_does_not_return_its_state_is_refused_where_it_is_used(step, message):
    cell = jacobians.from_step(step, ARRAY)
    for call in (
        lambda: jacobians.step_jacobian(cell, None, ARRAY, jnp.zeros(0)),
        lambda: jacobians.spectrum(cell, None, ARRAY, jnp.zeros((3, 0))),
        lambda: jacobians.lyapunov_spectrum(cell, None, ARRAY, jnp.zeros((3, 0)), key=KEY),
    ):
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_state_of_another_structure_is_refused():
    cell = jacobians.from_step(henon, ARRAY)
    for wrong in ({"u": ARRAY}, jnp.zeros(3), ARRAY.astype("float32")):
        with pytest.raises(UserError):
            jacobians.spectrum(cell, (1.4, 0.3), wrong, jnp.zeros((3, 0)))
