"""Eigenvalues of Hessians by Lanczos against the full matrix, of a quadratic form and of a small network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from rnnlm_jax import UserError, cells, jacobians
from rnnlm_jax.unroll import unroll

KEY = jax.random.key(2)


@functools.cache
def network():
    """Return a loss of a small GRU on random data, and parameters in float64."""
    cell = cells.gru(3, param_dtype="float64")
    params = cell.init(KEY, 2)
    rng = np.random.default_rng(0)
    xs, targets = jnp.asarray(rng.normal(size=(5, 4, 2))), jnp.asarray(rng.normal(size=(5, 4, 3)))

    def loss(params):
        _, hs = unroll(cell, params, cell.initial_state((4,)), xs)
        return jnp.square(hs - targets).mean()

    return loss, params


@functools.cache
def full_hessian():
    loss, params = network()
    flat, unravel = ravel_pytree(params)
    return np.asarray(jax.jit(jax.hessian(lambda flat: loss(unravel(flat))))(flat))


@pytest.mark.parametrize("which", ["largest", "smallest", "magnitude"])
def test_eigenvalues_are_those_of_the_full_matrix(which):
    loss, params = network()
    found = jacobians.hessian_eigenvalues(loss, params, 4, key=KEY, which=which)
    values, vectors = np.linalg.eigh(full_hessian())
    order = {"largest": np.argsort(-values), "smallest": np.argsort(values), "magnitude": np.argsort(-np.abs(values))}
    chosen = order[which][:4]
    chosen = chosen[np.argsort(-values[chosen])]
    scale = np.abs(values).max()
    np.testing.assert_allclose(found.values, values[chosen], rtol=1e-10, atol=1e-12 * scale)
    overlaps = np.abs((found.vectors * vectors[:, chosen]).sum(axis=0))
    np.testing.assert_allclose(overlaps, np.ones(4), rtol=0, atol=1e-8)
    assert found.residual.max() < 1e-10 * scale


def test_a_quadratic_form_in_float32_and_a_tree():
    diagonal = {"a": np.asarray([3.0, -7.0, 0.5], np.float32), "b": np.asarray([[1.0, 2.0]], np.float32)}

    def loss(params):
        return 0.5 * sum((d * jnp.square(params[name])).sum() for name, d in diagonal.items())

    params = jax.tree.map(jnp.ones_like, diagonal)
    found = jacobians.hessian_eigenvalues(loss, params, 2, key=KEY)
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, [3, 2], rtol=1e-5)
    np.testing.assert_allclose(np.abs(found.vectors[:, 0]), [1, 0, 0, 0, 0], atol=1e-4)
    found = jacobians.hessian_eigenvalues(loss, params, 1, key=KEY, which="magnitude")
    np.testing.assert_allclose(found.values, [-7], rtol=1e-5)


def close(params):
    """Return a quadratic form whose eigenvalues are close to one another."""
    return 0.5 * ((1 + 1e-3 * jnp.arange(params.size)) * jnp.square(params)).sum()


def test_wrong_arguments_are_refused():
    loss, params = network()
    size = len(full_hessian())
    with pytest.raises(UserError, match=f"`k` must be at least 1 and below the {size} parameters, not {size}"):
        jacobians.hessian_eigenvalues(loss, params, size, key=KEY)
    with pytest.raises(UserError, match="`which` must be one of largest, smallest, magnitude"):
        jacobians.hessian_eigenvalues(loss, params, 1, key=KEY, which="LM")
    with pytest.raises(UserError, match="one dtype"):
        jacobians.hessian_eigenvalues(loss, {"a": np.ones(3, np.int32)}, 1, key=KEY)
    with pytest.raises(UserError, match="scalar"):
        jacobians.hessian_eigenvalues(lambda p: p, jnp.ones(3), 1, key=KEY)
    with pytest.raises(UserError, match="not finite"):
        jacobians.hessian_eigenvalues(lambda p: jnp.sqrt(p).sum(), jnp.zeros(3), 1, key=KEY)
    with pytest.raises(UserError, match="of 3 eigenvalues have converged: give a larger `max_steps`"):
        jacobians.hessian_eigenvalues(close, jnp.ones(300), 3, key=KEY, max_steps=1)
    with pytest.raises(UserError, match="outside of jit"):
        jax.jit(lambda p: jacobians.hessian_eigenvalues(loss, p, 1, key=KEY).values)(params)
