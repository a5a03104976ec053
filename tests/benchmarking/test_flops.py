"""Analytic counts against counts by hand and counts of the programs; the floor has the same count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.benchmarking import matmul_floor
from rnnlm_jax.benchmarking.random_weights import cell_weights
from tests.benchmarking.products import products

T, B, D, H, P, V = 7, 3, 4, 5, 2, 11


def make(name):
    return cells.make(name, H, **({"projection_size": P} if name == "lstm-projected" else {}))


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("elman-tanh", 2 * (4 * 5 + 5 * 5)),
        ("gru", 2 * 3 * (4 * 5 + 5 * 5)),
        ("lstm-coupled", 2 * 3 * (4 * 5 + 5 * 5)),
        ("lstm", 360),
        ("lstm-peephole", 360),
        ("lstm-layer-norm", 360),
        ("lstm-projected", 2 * (4 * 4 * 5 + 4 * 2 * 5 + 5 * 2)),
    ],
)
def test_layer_flops_against_counts_by_hand(name, by_hand):
    cell = make(name)
    params = cell_weights(cell, D)
    assert cell.token_flops(params) == by_hand
    assert matmul_floor.layer_flops(cell, params, T * B, backward=False) == by_hand * 21
    assert matmul_floor.layer_flops(cell, params, T * B, backward=True) == by_hand * 63


def test_model_flops_against_counts_by_hand():
    stack = (cell_weights(cells.lstm(H), H), cell_weights(cells.lstm(H), H))
    assert matmul_floor.model_flops(stack, H, V, rows=T * B, backward=False) == (2 * 400 + 2 * 5 * 11) * 21
    assert matmul_floor.model_flops(stack, H, V, rows=T * B, backward=True) == (2 * 400 + 2 * 5 * 11) * 63


#: A projected LSTM projects once for the recurrence and once for the output; matrices of a state are multiplied by
#: vectors in products and sums, which the count of the program leaves out (see ``tests/cells/test_matrix_cells.py``).
OTHER_COUNTS = ("lstm-projected", "gla", "deltanet", "mlstm")


@pytest.mark.parametrize("name", [name for name in cells.names() if name not in OTHER_COUNTS])
def test_the_program_of_a_forward_pass_has_the_same_count(name):
    """What is computed once a sequence, such as the exponential of a matrix, is not counted."""
    cell = make(name)
    params, xs = cell_weights(cell, D), jnp.zeros((T, B, D), jnp.float32)

    def plain(params, xs):
        return unroll(cell, params, cell.initial_state((B,)), xs, executor="scan")[1]

    counted = products(plain, params, xs) - products(cell.prepare, params)
    assert counted == matmul_floor.layer_flops(cell, params, T * B, backward=False)


@pytest.mark.parametrize("name", ["elman-tanh", "gru", "lstm", "lstm-projected", "nbrc", "cornn"])
def test_the_floor_of_a_layer_has_the_same_count(name):
    cell = make(name)
    params, xs = cell_weights(cell, D), jnp.zeros((T, B, D), jnp.float32)
    matrices = matmul_floor.layer_matrices(params, "float32")
    assert products(matmul_floor.layer_pass, matrices, xs) == matmul_floor.layer_flops(
        cell, params, T * B, backward=False
    )
    assert products(matmul_floor.layer_gradient, matrices, xs) == matmul_floor.layer_flops(
        cell, params, T * B, backward=True
    )


def test_the_floor_of_a_model_has_the_same_count():
    stack = tuple(cell_weights(cells.lstm(H), H, seed) for seed in (0, 1))
    layers = tuple(matmul_floor.layer_matrices(params, "float32") for params in stack)
    w_out, xs = jnp.zeros((H, V), jnp.float32), jnp.zeros((T, B, H), jnp.float32)
    forward, backward = (matmul_floor.model_flops(stack, H, V, rows=T * B, backward=b) for b in (False, True))
    assert products(matmul_floor.model_pass, layers, w_out, xs) == forward
    assert products(matmul_floor.model_gradient, layers, w_out, xs) == backward
    assert products(matmul_floor.model_steps, layers, w_out, xs) == forward


@pytest.mark.parametrize("name", ["elman-tanh", "lstm-projected", "nbrc", "cornn"])
def test_the_backward_products_equal_the_gradient_of_the_forward_products(name):
    """The floor is a linear recurrence, whose gradient JAX computes; so no product is left out."""
    params = cell_weights(make(name), D)
    matrices = matmul_floor.layer_matrices(params, "float32")
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((T, B, D)), jnp.float32)
    hs, factors = matmul_floor.forward(matrices, xs)
    expected = jax.grad(lambda m, x: 0.5 * jnp.square(matmul_floor.forward(m, x)[0]).sum(), argnums=(0, 1))(
        matrices, xs
    )
    for want, have in zip(
        jax.tree.leaves(expected),
        jax.tree.leaves(matmul_floor.backward(matrices, xs, factors, cotangent=hs)),
        strict=True,
    ):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
