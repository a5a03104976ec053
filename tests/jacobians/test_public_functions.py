"""Properties of every public function of ``jacobians``: compiled once, without implicit promotion, any real arrays."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from tests.jacobians import public_functions
from tests.jacobians.public_functions import (
    CELL,
    KEY,
    D,
    H,
    T,
    arrays,
    calls_with_inputs,
    calls_with_matrices,
    calls_with_one_input,
)

NAMES = sorted(name for name in jacobians.__all__ if inspect.isfunction(getattr(jacobians, name)))
WITH_INPUTS, WITH_MATRICES = sorted(calls_with_inputs(None, None, None)), sorted(calls_with_matrices(None))
WITH_ONE_INPUT = sorted(calls_with_one_input(None, None, None, None))

#: Functions of one sequence; the other ones take batches.
UNBATCHED = (
    *("spectrum", "eigenvalue_moduli", "top_singular", "lyapunov_spectrum", "gradient_flossing"),
    *("covariant_vectors", "finite_time_exponents", "singular_vectors"),
)


@pytest.fixture
def compilations():
    """Yield a list to which every compilation appends its event."""
    result = []

    def listen(event, seconds, **about):
        del seconds, about
        if event == "/jax/core/compile/backend_compile_duration":
            result.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield result
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="module")
def calls():
    return public_functions.calls()


def test_public_functions_has_a_call_of_every_function(calls):
    assert sorted(calls) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_eager_call_compiles_once_and_does_not_promote(name, calls, compilations):
    """The second call compiles nothing; an implicit promotion of rank or dtype would be an error in the first."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        first = jax.block_until_ready(calls[name]())
        before = len(compilations)
        second = jax.block_until_ready(calls[name]())
    assert len(compilations) == before
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_the_fixture_counts_compilations(compilations):
    jax.jit(lambda x: x + 1)(1.0)
    assert len(compilations) == 1


@pytest.mark.parametrize("transform", ["vmap", "jvp", "jit"])
def test_transformations_compile_once_and_give_the_same(transform, compilations):
    """Eager ``vmap`` and ``jvp``, with x64 off; ``jit`` gives the same values."""
    matrices = np.random.default_rng(1).normal(size=(3, 2, 2, 2)).astype(np.float32)

    def values(matrices):
        return jacobians.product_spectrum(matrices, certify=transform == "vmap").log_singular_values

    def run():
        if transform == "vmap":
            return jax.vmap(values)(matrices)
        if transform == "jvp":
            return jax.jvp(values, (jnp.asarray(matrices[0]),), (jnp.asarray(matrices[1]),))[0][None]
        return jax.jit(values)(matrices[0])[None]

    with jax.enable_x64(False):
        result = run()
        if transform != "jit":  # of which each call here is given a new function
            before = len(compilations)
            np.testing.assert_array_equal(run(), result)
            assert len(compilations) == before
        expected = np.stack([values(each) for each in matrices[: len(result)]])
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


#: Two matrices of small integers, which are exact in every dtype (without signs, in unsigned ones).
SIGNED = np.array([[[2, 1], [1, 1]], [[1, -2], [3, 1]]])

#: Dtypes; whether x64 is on; whether jax's arrays are given too, for which each dtype is a program of its own.
TYPES = (
    *(("bool", False, True), ("int8", True, False), ("int32", True, True), ("int64", False, False)),
    *(("int64", True, False), ("uint8", False, False), ("uint64", True, False), ("bfloat16", False, True)),
    *(("float16", True, False), ("float32", False, True)),
)


def cast(dtype):
    return (SIGNED if not dtype.startswith(("uint", "bool")) else np.abs(SIGNED)).astype(jnp.dtype(dtype))


@pytest.mark.parametrize(("dtype", "x64", "on_device"), TYPES)
def test_matrices_of_any_dtype_give_the_results_of_float64(dtype, x64, on_device):
    """From NumPy's arrays, jax's arrays, and lists."""
    with jax.enable_x64(x64):
        matrices = cast(dtype)
        exact = matrices.astype(np.float64)
        result_dtype = "float64" if x64 and matrices.dtype != np.float32 and "float" not in dtype else "float32"
        for given in (matrices, matrices.tolist(), *([jnp.asarray(matrices)] if on_device else [])):
            result = jacobians.product_spectrum(given)
            if not isinstance(given, list):
                assert result.log_singular_values.dtype == result.error.dtype == result_dtype
            product = exact[1] @ exact[0]
            values = np.linalg.svd(product, compute_uv=False)
            live = values > 1e-12
            np.testing.assert_allclose(result.log_singular_values[live], np.log(values[live]), rtol=0, atol=1e-6)
            moduli = jacobians.log_eigenvalue_moduli(given).log_moduli
            expected = np.sort(np.abs(np.linalg.eigvals(product)))[::-1]
            np.testing.assert_allclose(np.exp(moduli), expected, rtol=1e-7, atol=1e-7)
            exponents = jacobians.lyapunov_of_matrices(given, key=KEY)
            assert jnp.issubdtype(exponents.exponents.dtype, jnp.floating)
            if live.all():
                sums = np.linalg.slogdet(exact)[1].mean()
                np.testing.assert_allclose(exponents.exponents.sum(), sums, rtol=0, atol=1e-5)
                np.testing.assert_allclose(exponents.mean_log_abs_det, sums, rtol=0, atol=1e-6)
            basis = jacobians.eigenbasis(given[0])
            np.testing.assert_allclose(
                np.sort(np.abs(basis.eigenvalues)), np.sort(np.abs(np.linalg.eigvals(exact[0]))), rtol=1e-6, atol=1e-6
            )


def test_integer_matrices_give_floating_results():
    """They once gave integers: [1, -1]."""
    with jax.enable_x64(False):
        result = jacobians.product_spectrum(np.array([[[2, 1], [1, 1]]] * 2))
    np.testing.assert_allclose(result.log_singular_values, [1.924847, -1.924847], rtol=0, atol=1e-6)
    assert result.trusted.all()


def test_large_integers_are_not_cut_where_x64_is_off():
    matrices = np.array([[[2**40, 1], [1, 1]]] * 2)
    with jax.enable_x64(False):
        result = jacobians.product_spectrum(matrices)
        moduli = jacobians.log_eigenvalue_moduli(matrices)
    np.testing.assert_allclose(result.log_singular_values[0], 80 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(moduli.log_moduli[0], 80 * np.log(2), rtol=1e-12)


@pytest.mark.parametrize("name", WITH_MATRICES)
@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.ones((2, 3, 3), complex), "must be real"),
        (np.full((2, 1, 1), "a"), "must be numbers"),
        ([[[1.0, 2.0], [3.0]]], "must be an array of numbers"),
        (np.ones((2, 3, 3, 3)), "must be square.*vmap over batch axes"),
        (np.ones((3, 3)), "must be square"),
        (np.ones((2, 3, 4)), "must be square"),
        (np.ones((2, 0, 0)), "must be square"),
    ],
    ids=["complex", "text", "ragged", "batched", "one matrix", "not square", "empty"],
)
def test_arguments_that_are_not_square_real_matrices_are_refused(name, matrices, message):
    with pytest.raises(UserError, match=message):
        calls_with_matrices(matrices)[name]()


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_lists_and_integers_give_the_results_of_float32_inputs(name):
    params, state, _, xs, _ = arrays()
    whole = jnp.round(3 * xs)
    expected = jax.tree.leaves(calls_with_inputs(params, state, whole)[name]())
    numpy_params = jax.tree.map(np.asarray, params)
    for inputs in (whole.tolist(), np.asarray(whole, np.int64), np.asarray(whole, np.float32)):
        result = jax.tree.leaves(calls_with_inputs(numpy_params, state, inputs)[name]())
        for one, other in zip(result, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_wrong_states_and_inputs_are_refused_in_one_line(name):
    params, state, _, xs, _ = arrays()
    batched = CELL.initial_state((2,))
    cases = [(batched, xs), (state, xs[0]), (state, xs + 1j), (cells.elman(H).initial_state(()), xs), (state, "text")]
    if name in UNBATCHED:
        cases.append((batched, jnp.stack([xs, xs], axis=1)))
    for wrong_state, wrong_xs in cases:
        with pytest.raises(UserError) as caught:
            calls_with_inputs(params, wrong_state, wrong_xs)[name]()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WITH_ONE_INPUT)
def test_functions_of_one_input_take_lists_and_refuse_other_shapes(name):
    params, state, states, xs, _ = arrays()
    expected = jax.tree.leaves(calls_with_one_input(params, state, states, xs[0])[name]())
    result = jax.tree.leaves(calls_with_one_input(params, state, states, xs[0].tolist())[name]())
    for one, other in zip(result, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    for x, start, starts in ((xs[:2], state, states), (xs[0] + 1j, state, states), (xs[0], states, state)):
        with pytest.raises(UserError) as caught:
            calls_with_one_input(params, start, starts, x)[name]()
        assert "\n" not in str(caught.value)


def test_other_wrong_arguments_are_refused():
    params, state, _, xs, _ = arrays()
    with pytest.raises(UserError, match="`arithmetic` must be float32 or float64"):
        jacobians.product_spectrum(np.ones((2, 2, 2)), arithmetic="bfloat16")
    with pytest.raises(UserError, match="`lags` must be whole numbers"):
        jacobians.spectrum(CELL, params, state, xs, lags=[1.5])
    with pytest.raises(UserError, match="must be real"):
        jacobians.eigenbasis(np.ones((2, 2), complex))
    with pytest.raises(UserError, match="one vector"):
        jacobians.kaplan_yorke_dimension([[1.0], [2.0]])
    with pytest.raises(UserError, match="but outputs have"):
        jacobians.state_cotangents(CELL, params, state, xs, output_cotangents=jnp.ones((T, H + 1)))
    with pytest.raises(UserError, match="beyond the range"):
        jacobians.power(jacobians.eigenbasis([[2.0, 0.0], [0.0, 0.5]]), 2000)
    with pytest.raises(UserError, match="not finite"):
        jacobians.decay_rates(cells.elman(H), cells.elman(H).init(KEY, D)._replace(w_h=jnp.full((H, H), jnp.nan)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_cells_have_results_in_float32(dtype):
    """bfloat16 has eight bits, and float16 ends at 65504 nats."""
    cell = cells.elman(H, param_dtype=dtype)
    params, state = cell.init(KEY, D), cell.initial_state(())
    certify = dtype == "bfloat16"  # in one of them, which is enough
    result = jacobians.spectrum(cell, params, state, jnp.ones((T, D), dtype), certify=certify)
    assert result.log_singular_values.dtype == result.log_abs_det.dtype == jnp.float32
    by_lag = jacobians.gradient_by_lag(cell, params, state, jnp.ones((T, D), dtype), loss_of_output=loss_of_half)
    assert by_lag.inputs.dtype == jnp.float32
    assert by_lag.inputs.shape == (T,)
    with pytest.raises(UserError, match="make it with `param_dtype` float32"):
        jacobians.lyapunov_spectrum(cell, params, state, jnp.ones((T, D), dtype), key=KEY)


def loss_of_half(h):
    return h.sum(axis=-1)
