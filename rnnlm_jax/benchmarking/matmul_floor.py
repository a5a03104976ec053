"""The floor: a recurrent network's matrix products alone, as a lower bound of its time; and their FLOPs.

Forward, the input projection is one product over all T·B rows, and the recurrent products run one after the other,
each on the result of the last. Backward, T products run one after the other again, and the gradients of weights and
inputs are one product each over all rows. Elementwise operations are left out, except for the sums that make each
product depend on the one before. The products are those of XLA; faster ones can beat this floor.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.benchmarking.measure.candidate import FLOOR, Candidate
from rnnlm_jax.benchmarking.measure.compiled_program import compile_program
from rnnlm_jax.cells import Cell


class LayerMatrices(NamedTuple):
    """The matrices of a layer."""

    w_x: Array
    """``[D, G*H]``, for G gates."""
    chain: tuple[Array, ...]
    """Matrices that the state is multiplied with in turn: ``[H, G*H]``, or with a projection ``[H, P], [P, G*H]``."""


def layer_flops(cell: Cell, params: Any, rows: int, *, backward: bool) -> float:
    """Return the FLOPs of ``rows`` = T·B tokens through a cell, forward, or forward and backward."""
    return float(cell.token_flops(params) * rows * (3 if backward else 1))


def model_flops(cell_params: Any, hidden_size: int, vocabulary: int, *, rows: int, backward: bool) -> float:
    """Return the FLOPs of ``rows`` tokens through cells and a full softmax; embedding is not a product."""
    return float((matrix_flops(cell_params) + 2 * hidden_size * vocabulary) * rows * (3 if backward else 1))


def layer_matrices(params: Any, dtype: str, seed: int = 0) -> LayerMatrices:
    """Return random matrices of the shapes of a cell's parameters, scaled so that the state keeps its size."""
    rng = np.random.default_rng(seed)
    gates = params.w_x.shape[1] / max(params.w_h.shape[0], 1)

    def draw(shape: tuple[int, ...]) -> Array:
        return jnp.asarray(0.5 * rng.standard_normal(shape, np.float32) / np.sqrt(shape[0] * gates), dtype)

    shapes = [params.w_p.shape] if hasattr(params, "w_p") else []
    return LayerMatrices(draw(params.w_x.shape), tuple(draw(shape) for shape in (*shapes, params.w_h.shape)))


def forward(layer: LayerMatrices, xs: Float[Array, "T B D"]) -> tuple[Array, tuple[Array, ...]]:
    """Compute the products of a layer's forward pass.

    Returns:
        An array in place of the outputs, ``[T, B, H]``, and the left factor of each matrix of the chain at each step.
    """
    steps, batch, _ = xs.shape
    hidden = layer.chain[0].shape[0]
    zs = (xs.reshape(steps * batch, -1) @ layer.w_x).reshape(steps, batch, -1)

    def body(h: Array, z: Array) -> tuple[Array, tuple[Array, tuple[Array, ...]]]:
        a, factors = h, []
        for matrix in layer.chain:
            factors.append(a)
            a = a @ matrix
        h = _sum_of_gates(z, a, hidden)
        return h, (h, tuple(factors))

    _, (hs, factors) = jax.lax.scan(body, jnp.zeros((batch, hidden), xs.dtype), zs)
    return hs, factors


def backward(
    layer: LayerMatrices, xs: Array, factors: Sequence[Array], *, cotangent: Array
) -> tuple[LayerMatrices, Array]:
    """Compute the products of a layer's backward pass.

    Args:
        layer: the matrices.
        xs: inputs, ``[T, B, D]``.
        factors: the second result of ``forward``.
        cotangent: gradient of the outputs, ``[T, B, H]``.

    Returns:
        Arrays in place of the gradients of the matrices, and of the inputs ``[T, B, D]``.
    """

    def body(dh: Array, dy: Array) -> tuple[Array, tuple[Array, ...]]:
        a, cotangents = _resized(dh + dy, layer.chain[-1].shape[1]), []
        for matrix in reversed(layer.chain):
            cotangents.append(a)
            a = _times_transposed(a, matrix)
        return a, tuple(reversed(cotangents))

    _, cotangents = jax.lax.scan(body, jnp.zeros_like(cotangent[0]), cotangent, reverse=True)
    dz = _rows(cotangents[-1])
    chain = tuple(_rows(a).T @ _rows(d) for a, d in zip(factors, cotangents, strict=True))
    dz = jnp.concatenate([dz, dz[:, : layer.w_x.shape[1] - dz.shape[1]]], axis=1)
    return LayerMatrices(_rows(xs).T @ dz, chain), (dz @ layer.w_x.T).reshape(xs.shape)


def _sum_of_gates(z: Array, a: Array, hidden: int) -> Array:
    """Return the sum of the gates' blocks of ``z + a``; a may have fewer, if the last gates do not read the state."""
    if a.shape != z.shape:
        a = jnp.pad(a, ((0, 0), (0, z.shape[1] - a.shape[1])))
    return _resized(z + a, hidden)


def _resized(a: Array, width: int) -> Array:
    """Return rows of ``width`` numbers: blocks of longer rows added up, or shorter ones repeated.

    Rows of gates are longer than those of the state; they are shorter if the product reads several parts of the state.
    """
    size = a.shape[1]
    if size <= width:
        return jnp.tile(a, (1, -(-width // size)))[:, :width]
    padded = jnp.pad(a, ((0, 0), (0, -size % width)))
    return padded.reshape(a.shape[0], -1, width).sum(axis=1)


def _times_transposed(a: Array, matrix: Array) -> Array:
    """Return ``a matrixᵀ`` as one product: with B = 1, XLA would transpose the matrix at every step of a loop."""
    return jax.lax.dot_general(a, matrix, (((1,), (1,)), ((), ())))


def _rows(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def layer_pass(layer: LayerMatrices, xs: Array) -> Any:
    """Compute a layer's products, forward."""
    return forward(layer, xs)[0]


def layer_gradient(layer: LayerMatrices, xs: Array) -> Any:
    """Compute a layer's products, forward and backward."""
    hs, factors = forward(layer, xs)
    return backward(layer, xs, factors, cotangent=hs)


def model_pass(layers: tuple[LayerMatrices, ...], w_out: Array, xs: Array) -> Any:
    """Compute a language model's products, forward: its layers, and the logits of all rows."""
    for layer in layers:
        xs, _ = forward(layer, xs)
    return _rows(xs) @ w_out


def model_gradient(layers: tuple[LayerMatrices, ...], w_out: Array, xs: Array) -> Any:
    """Compute a language model's products, forward and backward; three are the output layer's."""
    inputs, factors = [], []
    for layer in layers:
        inputs.append(xs)
        xs, of_layer = forward(layer, xs)
        factors.append(of_layer)
    logits = _rows(xs) @ w_out
    gradients: list[Any] = [_rows(xs).T @ logits]
    cotangent = (logits @ w_out.T).reshape(xs.shape)
    for layer, layer_inputs, of_layer in zip(reversed(layers), reversed(inputs), reversed(factors), strict=True):
        gradient, cotangent = backward(layer, layer_inputs, of_layer, cotangent=cotangent)
        gradients.append(gradient)
    return gradients, cotangent


def model_steps(layers: tuple[LayerMatrices, ...], w_out: Array, xs: Array) -> Any:
    """Compute the products of drawing ``len(xs)`` tokens one after the other: each step waits for the last logits."""
    batch = xs.shape[1]

    def body(carry: tuple[Array, tuple[Array, ...]], x: Array) -> tuple[tuple[Array, tuple[Array, ...]], Array]:
        drawn, states = carry
        x = x + drawn
        after = []
        for layer, h in zip(layers, states, strict=True):
            z = x @ layer.w_x
            for matrix in layer.chain:
                h = h @ matrix
            x = _sum_of_gates(z, h, layer.chain[0].shape[0])
            after.append(x)
        drawn = (x @ w_out).max(axis=1, keepdims=True)
        return (drawn, tuple(after)), drawn

    states = tuple(jnp.zeros((batch, layer.chain[0].shape[0]), xs.dtype) for layer in layers)
    return jax.lax.scan(body, (jnp.zeros((batch, 1), xs.dtype), states), xs)[1]


def candidate(function: Any, *arguments: Any) -> Candidate:
    """Return a compiled function of products as the candidate "floor"."""
    program = compile_program(function, *arguments)
    return Candidate(FLOOR, lambda: program.call(*arguments), None, program.compile_seconds, program.memory_bytes)
