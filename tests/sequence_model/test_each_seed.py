"""Functions of a seed, run for several."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.sequence_model import each_seed
from rnnlm_jax.sequence_model.each_seed import SeedsInThreads, for_each_seed
from rnnlm_jax.unroll import unroll

CELL = cells.make("gru", 4)


def states(seeds):
    params = jax.vmap(lambda key: CELL.init(key, 3))(jax.random.split(jax.random.key(0), seeds))
    return params, jax.random.normal(jax.random.key(1), (seeds, 5, 2, 3), jnp.float32)


def outputs(params, xs):
    return unroll(CELL, params, CELL.initial_state((2,)), xs, executor="native")[1]


def test_each_seed_has_its_own_numbers():
    params, xs = states(3)
    found = jax.jit(lambda params, xs: for_each_seed(outputs, params, xs))(params, xs)
    np.testing.assert_allclose(found, jax.vmap(outputs)(params, xs), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(unavailable() is not None, reason="no native kernels")
def test_native_kernels_run_on_a_cpu_and_batched_products_elsewhere():
    program = jax.jit(lambda params, xs: for_each_seed(outputs, params, xs))
    assert "@rnnlm_jax_gru" in program.lower(*states(3)).as_text()
    elsewhere = jax.export.export(program, platforms=["cuda"])(*states(3)).mlir_module()
    assert "3x2x4xf32" in elsewhere  # the states of all seeds


def function(states, seed, shared):
    return for_each_seed(lambda own, seed: jax.tree.map(lambda leaf: leaf * shared + seed, own), states, seed)


@pytest.mark.parametrize("cores", [1, 2])
def test_threads_give_the_numbers_of_one_call(cores, monkeypatch):
    monkeypatch.setattr(each_seed, "usable_cores", lambda: cores)
    state = {"a": jnp.arange(12.0, dtype=jnp.float32).reshape(3, 4), "b": jnp.ones(3, jnp.float32)}
    seeds, shared = jnp.asarray([1, 2, 3], jnp.float32), jnp.float32(2)
    wanted = function(state, seeds, shared)
    before = threading.active_count()
    found = SeedsInThreads(function)(state, seeds, shared=shared)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert threading.active_count() == before


def test_one_program_serves_any_number_of_seeds():
    run = SeedsInThreads(function)
    for count in (5, 3, 2):
        seeds = jnp.arange(count, dtype=jnp.float32)
        run({"a": jnp.ones((count, 4), jnp.float32)}, seeds, shared=jnp.float32(2))
    assert len(run._programs) == 1


def test_an_error_in_a_thread_is_raised(monkeypatch):
    run = SeedsInThreads(function)

    def fail(*arguments):
        raise FloatingPointError("in a thread")

    monkeypatch.setattr(run, "_program", lambda arguments: fail)
    with pytest.raises(FloatingPointError, match="in a thread"):
        run({"a": jnp.ones((2, 4), jnp.float32)}, jnp.ones(2, jnp.float32), shared=jnp.float32(2))
