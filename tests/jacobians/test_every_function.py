"""What every public function of ``jacobians`` promises: compiled once, under any promotion, of any real arrays."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from tests.jacobians import every_function
from tests.jacobians.every_function import CELL, KEY, D, H, T, arrays, of_inputs, of_matrices, of_one_input

NAMES = sorted(name for name in jacobians.__all__ if inspect.isfunction(getattr(jacobians, name)))
CALLS = every_function.calls()
OF_INPUTS, OF_MATRICES = sorted(of_inputs(None, None, None)), sorted(of_matrices(None))
OF_ONE_INPUT = sorted(of_one_input(None, None, None, None))

#: Those of one sequence; the others take batches.
UNBATCHED = ("spectrum", "eigenvalue_moduli", "top_singular", "lyapunov_spectrum", "gradient_flossing")


@pytest.fixture
def compilations():
    """A list that grows by one at each compilation."""
    found = []

    def listen(event, seconds, **about):
        del seconds, about
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def test_every_function_is_called_here():
    assert sorted(CALLS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_eager_call_compiles_once_and_nothing_leans_on_promotion(name, compilations):
    """A second call compiles nothing; a rank or a dtype that jax would promote is an error in the first."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        first = jax.block_until_ready(CALLS[name]())
        before = len(compilations)
        second = jax.block_until_ready(CALLS[name]())
    assert len(compilations) == before
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_compilations_are_counted(compilations):
    jacobians.product_spectrum(np.ones((2, 1, 1)))
    assert compilations


@pytest.mark.parametrize("transform", ["vmap", "jvp", "jit"])
def test_transformations(transform, compilations):
    """An eager ``vmap`` and ``jvp`` compile once too, also where x64 is off; and ``jit`` gives the same."""
    matrices = np.random.default_rng(1).normal(size=(3, 2, 2, 2)).astype(np.float32)

    def values(matrices):
        return jacobians.product_spectrum(matrices).log_singular_values

    def run():
        if transform == "vmap":
            return jax.vmap(values)(matrices)
        if transform == "jvp":
            return jax.jvp(values, (jnp.asarray(matrices[0]),), (jnp.asarray(matrices[1]),))[0][None]
        return jax.jit(values)(matrices[0])[None]

    with jax.enable_x64(False):
        found = run()
        before = len(compilations)
        np.testing.assert_array_equal(run(), found)
        assert len(compilations) == before or transform == "jit"  # ours is a new function each time
        wanted = np.stack([values(each) for each in matrices[: len(found)]])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


#: Two matrices of small whole numbers, and the same without signs; every type holds them.
SIGNED = np.array([[[2, 1], [1, 1]], [[1, -2], [3, 1]]])
TYPES = (
    *(("bool", False), ("int8", True), ("int32", True), ("int64", False), ("int64", True), ("uint8", False)),
    *(("uint64", True), ("bfloat16", False), ("float16", True), ("float32", False), ("float32", True)),
)


def cast(dtype):
    return (SIGNED if not dtype.startswith(("uint", "bool")) else np.abs(SIGNED)).astype(jnp.dtype(dtype))


@pytest.mark.parametrize(("dtype", "x64"), TYPES)
def test_matrices_of_any_type(dtype, x64):
    """They are numbers: the results are those of the same numbers in float64, from NumPy, jax, and lists."""
    with jax.enable_x64(x64):
        matrices = cast(dtype)
        exact = matrices.astype(np.float64)
        wide = "float64" if x64 and matrices.dtype != np.float32 and "float" not in dtype else "float32"
        for given in (matrices, jnp.asarray(matrices), matrices.tolist()):
            found = jacobians.product_spectrum(given)
            if not isinstance(given, list):
                assert found.log_singular_values.dtype == found.error.dtype == wide
            product = exact[1] @ exact[0]
            values = np.linalg.svd(product, compute_uv=False)
            live = values > 1e-12
            np.testing.assert_allclose(found.log_singular_values[live], np.log(values[live]), rtol=0, atol=1e-6)
            moduli = jacobians.log_eigenvalue_moduli(given).log_moduli
            wanted = np.sort(np.abs(np.linalg.eigvals(product)))[::-1]
            np.testing.assert_allclose(np.exp(moduli), wanted, rtol=1e-7, atol=1e-7)
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


def test_the_golden_mean():
    """Whole numbers were once given back as whole numbers: [4, -4]."""
    with jax.enable_x64(False):
        found = jacobians.product_spectrum(np.array([[[2, 1], [1, 1]]] * 5))
    np.testing.assert_allclose(found.log_singular_values, [4.812118, -4.812118], rtol=0, atol=1e-6)
    assert found.trusted.all()


def test_large_whole_numbers_survive_where_x64_is_off():
    matrices = np.array([[[2**40, 1], [1, 1]]] * 3)
    with jax.enable_x64(False):
        found = jacobians.product_spectrum(matrices)
        moduli = jacobians.log_eigenvalue_moduli(matrices)
    np.testing.assert_allclose(found.log_singular_values[0], 120 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(moduli.log_moduli[0], 120 * np.log(2), rtol=1e-12)


@pytest.mark.parametrize("name", OF_MATRICES)
@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.ones((2, 3, 3), complex), "must be real"),
        (np.full((2, 1, 1), "a"), "must be numbers"),
        ([[[1.0, 2.0], [3.0]]], "must be an array of numbers"),
        (np.ones((2, 3, 3, 3)), "square matrices.*vmap over batch axes"),
        (np.ones((3, 3)), "square matrices"),
        (np.ones((2, 3, 4)), "square matrices"),
        (np.ones((2, 0, 0)), "square matrices"),
    ],
    ids=["complex", "text", "ragged", "batched", "one matrix", "not square", "empty"],
)
def test_matrices_that_are_none(name, matrices, message):
    with pytest.raises(UserError, match=message):
        of_matrices(matrices)[name]()


@pytest.mark.parametrize("name", OF_INPUTS)
def test_inputs_as_lists_and_whole_numbers(name):
    """A list, NumPy's float64 and whole numbers give what the same float32 array gives."""
    params, state, _, xs, _ = arrays()
    whole = jnp.round(3 * xs)
    wanted = jax.tree.leaves(of_inputs(params, state, whole)[name]())
    for given in (whole.tolist(), np.asarray(whole, np.int64), np.asarray(whole, np.float64)):
        params_, given = jax.tree.map(np.asarray, params), given
        if isinstance(given, np.ndarray) and given.dtype == np.float64:
            given = given.astype(np.float32)
        found = jax.tree.leaves(of_inputs(params_, state, given)[name]())
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OF_INPUTS)
def test_wrong_states_and_inputs_are_one_line(name):
    params, state, _, xs, _ = arrays()
    batched = CELL.initial_state((2,))
    cases = [(batched, xs), (state, xs[0]), (state, xs + 1j), (cells.elman(H).initial_state(()), xs), (state, "text")]
    if name in UNBATCHED:
        cases.append((batched, jnp.stack([xs, xs], axis=1)))
    for wrong_state, wrong_xs in cases:
        with pytest.raises(UserError) as caught:
            of_inputs(params, wrong_state, wrong_xs)[name]()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OF_ONE_INPUT)
def test_one_input(name):
    params, state, states, xs, _ = arrays()
    wanted = jax.tree.leaves(of_one_input(params, state, states, xs[0])[name]())
    found = jax.tree.leaves(of_one_input(params, state, states, xs[0].tolist())[name]())
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    for x, start, starts in ((xs, state, states), (xs[0] + 1j, state, states), (xs[0], states, state)):
        with pytest.raises(UserError) as caught:
            of_one_input(params, start, starts, x)[name]()
        assert "\n" not in str(caught.value)


def test_other_arguments_are_one_line():
    params, state, _, xs, _ = arrays()
    with pytest.raises(UserError, match="arithmetic must be float32 or float64"):
        jacobians.product_spectrum(np.ones((2, 2, 2)), arithmetic="bfloat16")
    with pytest.raises(UserError, match="lags must be whole numbers"):
        jacobians.spectrum(CELL, params, state, xs, lags=[1.5])
    with pytest.raises(UserError, match="must be real"):
        jacobians.eigenbasis(np.ones((2, 2), complex))
    with pytest.raises(UserError, match="one vector"):
        jacobians.kaplan_yorke_dimension([[1.0], [2.0]])
    with pytest.raises(UserError, match="do not fit outputs"):
        jacobians.state_cotangents(CELL, params, state, xs, jnp.ones((T, H + 1)))
    with pytest.raises(UserError, match="beyond the range"):
        jacobians.power(jacobians.eigenbasis([[2.0, 0.0], [0.0, 0.5]]), 2000)
    with pytest.raises(UserError, match="not finite"):
        jacobians.decay_rates(cells.elman(H), cells.elman(H).init(KEY, D)._replace(w_h=jnp.full((H, H), jnp.nan)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_cells_have_results_in_float32(dtype):
    """bfloat16 has eight bits, and float16 ends at 65504 nats."""
    cell = cells.elman(H, param_dtype=dtype)
    params, state = cell.init(KEY, D), cell.initial_state(())
    found = jacobians.spectrum(cell, params, state, jnp.ones((T, D), dtype))
    assert found.log_singular_values.dtype == found.log_abs_det.dtype == jnp.float32
    assert jacobians.gradient_by_lag(cell, params, state, jnp.ones((T, D), dtype), loss_of_half).inputs.shape == (T,)
    with pytest.raises(UserError, match="make it with param_dtype float32"):
        jacobians.lyapunov_spectrum(cell, params, state, jnp.ones((T, D), dtype), key=KEY)


def loss_of_half(h):
    return h.sum(axis=-1)
