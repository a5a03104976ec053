"""The fault of some jaxlib releases in float64: found by a self-test, avoided in our programs, warned of in others'."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, jacobians, unroll
from rnnlm_jax.compilation import float64_fault, jit
from rnnlm_jax.compilation.jitted import is_traced, under_jit


@pytest.fixture
def faulty(monkeypatch):
    """A processor that has the fault, as far as the library knows."""
    monkeypatch.setattr(float64_fault, "float64_is_miscompiled", lambda: True)
    float64_fault._warn_once.cache_clear()
    yield
    float64_fault._warn_once.cache_clear()


class Recorded:
    """A stand-in for ``jax.jit`` that notes the options of each function that is compiled."""

    def __init__(self, monkeypatch):
        self.options = []
        real = jax.jit

        def record(function, **options):
            compiled = real(function, **options)

            def call(*args, **kwargs):
                self.options.append(options.get("compiler_options"))
                return compiled(*args, **kwargs)

            call.lower = compiled.lower
            return call

        monkeypatch.setattr(jax, "jit", record)


def run_lstm(dtype):
    cell = cells.lstm(3, param_dtype=dtype)
    params = cell.init(jax.random.key(0), 2)
    return unroll(cell, params, cell.initial_state((2,)), jnp.ones((4, 2, 2), dtype), executor="scan")


class TestSelfTest:
    """``joins_sums_correctly`` distinguishes a correct program from wrong ones."""

    def test_a_right_program_passes(self):
        right = jax.jit(float64_fault.joined_sums, compiler_options={"xla_backend_optimization_level": 0})
        assert float64_fault.joins_sums_correctly(right)

    @pytest.mark.parametrize("lane", [0, 4, 5, 9])
    def test_one_wrong_lane_is_seen(self, lane):
        def wrong(c, ps, i):
            return float64_fault.joined_sums(c, ps, i).at[1, 2, lane].add(1.0)

        assert not float64_fault.joins_sums_correctly(jax.jit(wrong))

    def test_lanes_that_are_swapped_are_seen(self):
        def wrong(c, ps, i):
            return jnp.roll(float64_fault.joined_sums(c, ps, i), 1, axis=-1)

        assert not float64_fault.joins_sums_correctly(jax.jit(wrong))

    def test_it_returns_whether_this_process_has_the_fault(self):
        """The verdict is the one of the program as users compile it."""
        found = not float64_fault.joins_sums_correctly(jax.jit(float64_fault.joined_sums))
        assert float64_fault.float64_is_miscompiled() == found

    def test_it_runs_under_a_trace_without_x64_and_with_transfers_forbidden(self):
        float64_fault.float64_is_miscompiled.cache_clear()
        with jax.enable_x64(False), jax.transfer_guard("disallow"):
            jax.eval_shape(lambda: jnp.asarray(float64_fault.float64_is_miscompiled()))

    def test_right_options_pass_it(self):
        assert float64_fault.joins_sums_correctly(
            jax.jit(float64_fault.joined_sums, compiler_options=float64_fault.RIGHT_OPTIONS)
        )


class TestJit:
    """``jit`` compiles with ``RIGHT_OPTIONS`` where the fault is, and is ``jax.jit`` elsewhere."""

    def test_healthy_processors_get_the_defaults(self, monkeypatch):
        monkeypatch.setattr(float64_fault, "float64_is_miscompiled", lambda: False)
        recorded = Recorded(monkeypatch)
        jit(jnp.sin)(1.0)
        assert recorded.options == [None]

    def test_faulty_processors_get_right_options(self, faulty, monkeypatch):
        recorded = Recorded(monkeypatch)
        jit(jnp.sin)(1.0)
        assert recorded.options == [float64_fault.RIGHT_OPTIONS]

    def test_float32_gets_the_defaults_everywhere(self, faulty, monkeypatch):
        recorded = Recorded(monkeypatch)
        with jax.enable_x64(False):
            jit(jnp.sin)(1.0)
        assert recorded.options == [None]

    def test_float64_inside_gets_right_options_where_x64_is_off(self, faulty, monkeypatch):
        recorded = Recorded(monkeypatch)
        with jax.enable_x64(False):
            jit(jnp.sin, computes_in_float64=True)(1.0)
        assert recorded.options == [float64_fault.RIGHT_OPTIONS]

    def test_it_nests_in_the_jit_of_another(self, faulty):
        """jax refuses compiler options below the outermost ``jit``."""
        constant = jit(jnp.sin)
        assert float(jax.jit(lambda: constant(1.0))()) == pytest.approx(np.sin(1.0))
        assert float(jax.jit(jax.grad(constant))(1.0)) == pytest.approx(np.cos(1.0))

    def test_it_is_differentiated_and_mapped(self, faulty):
        assert float(jax.grad(jit(jnp.sin))(1.0)) == pytest.approx(np.cos(1.0))
        np.testing.assert_allclose(jax.vmap(jit(jnp.sin))(jnp.arange(3.0)), np.sin(np.arange(3.0)))

    def test_options_of_jax_jit_are_passed_on(self, faulty):
        assert jit(lambda n, x: x * n, static_argnums=0)(3, 2.0) == 6.0
        assert "xla_cpu_prefer_vector_width" not in jit(jnp.sin).lower(1.0).as_text()

    def test_it_keeps_name_and_docstring(self):
        assert jit(run_lstm).__name__ == "run_lstm"


class TestWarning:
    """A user's own ``jit`` cannot be changed, so that it gives one warning."""

    def test_float64_gives_one_warning(self, faulty):
        with pytest.warns(RuntimeWarning, match="XLA_FLAGS=--xla_cpu_max_isa=AVX2") as warned:
            run_lstm(jnp.float64)
            jax.jit(run_lstm, static_argnums=0)(jnp.float64)
        (only,) = warned
        assert "\n" not in str(only.message)

    def test_float32_is_not(self, faulty):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run_lstm(jnp.float32)

    def test_our_own_programs_are_not(self, faulty):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            jit(run_lstm, static_argnums=0)(jnp.float64)
            jit(run_lstm, static_argnums=0).lower(jnp.float64)

    def test_jacobians_in_a_users_program_give_a_warning_and_our_own_do_not(self, faulty):
        """They compute in float64 whatever the cell's type is."""
        matrices = jnp.ones((2, 2, 2), jnp.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            jacobians.product_spectrum(matrices, certify=False)
        with pytest.warns(RuntimeWarning, match="XLA_FLAGS"):
            jax.jit(lambda matrices: jacobians.product_spectrum(matrices, certify=False)).lower(matrices)

    def test_healthy_processors_are_not(self, monkeypatch):
        monkeypatch.setattr(float64_fault, "float64_is_miscompiled", lambda: False)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run_lstm(jnp.float64)


@pytest.mark.parametrize(("version", "warned"), [("0.10.1", False), ("0.10.2", True), ("0.11.2", False)])
def test_the_release_with_wrong_products_gives_a_warning(version, warned):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        float64_fault.warn_of_faulty_jaxlib(version)
    assert bool(found) == warned


@pytest.mark.parametrize(("dtype", "rows"), [("float32", 32_769), ("float64", 16_385)])
def test_products_under_vmap_are_right(dtype, rows):
    """jax#39103, for which jaxlib 0.10.2 is excluded."""
    x = np.zeros((rows, 3), dtype)
    x[:, 0] = np.arange(rows)
    matrix = jnp.eye(3, dtype=dtype)
    norms = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(x)
    np.testing.assert_allclose(norms, x[:, 0] ** 2, rtol=1e-6)


def test_traces_are_recognised():
    assert not is_traced((1.0, jnp.ones(2)))
    assert jax.jit(lambda: jnp.asarray(is_traced(1.0)))()
    assert jax.vmap(lambda x: x + float(is_traced(x)))(jnp.zeros(2)).sum() == 2
    assert jax.grad(lambda x: x * float(is_traced(x)))(1.0) == 1.0


def test_tracing_by_jit_is_distinguished_from_vmap():
    assert not under_jit()
    assert jax.jit(lambda: jnp.asarray(under_jit()))()
    assert jax.vmap(lambda x: x + float(under_jit()))(jnp.zeros(2)).sum() == 0
