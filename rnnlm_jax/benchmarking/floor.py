"""The floor: the matrix products of a recurrent network alone, in the order that the recurrence leaves no choice of.

Forward, the input projection is one product over all T·B rows, and the recurrent products follow each other, each on
what the last one gave. Backward, T products follow each other again, and the gradients of weights and inputs are one
product each over all rows. Nothing is elementwise but the sums that make each product depend on the one before.
What is near it has nothing left to gain but faster products: these are those that XLA has.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.benchmarking.measure.program import compile_program
from rnnlm_jax.benchmarking.measure.subject import FLOOR, Subject


class LayerMatrices(NamedTuple):
    """What a layer multiplies with: ``w_x [D, G*H]``, and ``[H, G*H]`` or, with a projection, ``[H, P], [P, G*H]``."""

    w_x: Array
    chain: tuple[Array, ...]


def layer_matrices(params: Any, dtype: str, seed: int = 0) -> LayerMatrices:
    """Random matrices of the shapes that a cell's parameters have, such that the recurrence neither grows nor dies."""
    rng = np.random.default_rng(seed)
    gates = params.w_x.shape[1] / max(params.w_h.shape[0], 1)

    def draw(shape: tuple[int, ...]) -> Array:
        return jnp.asarray(0.5 * rng.standard_normal(shape, np.float32) / np.sqrt(shape[0] * gates), dtype)

    shapes = [params.w_p.shape] if hasattr(params, "w_p") else []
    return LayerMatrices(draw(params.w_x.shape), tuple(draw(shape) for shape in (*shapes, params.w_h.shape)))


def forward(layer: LayerMatrices, xs: Float[Array, "T B D"]) -> tuple[Array, tuple[Array, ...]]:
    """The products of a layer's forward pass.

    Returns:
        what stands for the outputs, ``[T, B, H]``, and what each matrix of the chain was multiplied with at each step.
    """
    steps, batch, _ = xs.shape
    hidden = layer.chain[0].shape[0]
    zs = (xs.reshape(steps * batch, -1) @ layer.w_x).reshape(steps, batch, -1)

    def body(h: Array, z: Array) -> tuple[Array, tuple[Array, tuple[Array, ...]]]:
        a, read = h, []
        for matrix in layer.chain:
            read.append(a)
            a = a @ matrix
        h = (z + a).reshape(batch, -1, hidden).sum(axis=1)
        return h, (h, tuple(read))

    _, (hs, read) = jax.lax.scan(body, jnp.zeros((batch, hidden), xs.dtype), zs)
    return hs, read


def backward(layer: LayerMatrices, xs: Array, read: Sequence[Array], arriving: Array) -> tuple[LayerMatrices, Array]:
    """The products of its backward pass, the gradient of the outputs being ``arriving [T, B, H]``.

    Returns:
        what stands for the gradients of the matrices, and of the inputs ``[T, B, D]``.
    """
    gates = layer.w_x.shape[1] // layer.chain[0].shape[0]

    def body(dh: Array, dy: Array) -> tuple[Array, tuple[Array, ...]]:
        a, met = jnp.tile(dh + dy, (1, gates)), []
        for matrix in reversed(layer.chain):
            met.append(a)
            a = _times_transposed(a, matrix)
        return a, tuple(reversed(met))

    _, met = jax.lax.scan(body, jnp.zeros_like(arriving[0]), arriving, reverse=True)
    dz = _rows(met[-1])
    chain = tuple(_rows(a).T @ _rows(d) for a, d in zip(read, met, strict=True))
    return LayerMatrices(_rows(xs).T @ dz, chain), (dz @ layer.w_x.T).reshape(xs.shape)


def _times_transposed(a: Array, matrix: Array) -> Array:
    """``a matrixᵀ`` as one product: a transposition inside a loop is carried out, again and again, if B is 1."""
    return jax.lax.dot_general(a, matrix, (((1,), (1,)), ((), ())))


def _rows(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def layer_pass(layer: LayerMatrices, xs: Array) -> Any:
    """A layer's products forward."""
    return forward(layer, xs)[0]


def layer_gradient(layer: LayerMatrices, xs: Array) -> Any:
    """A layer's products forward and backward."""
    hs, read = forward(layer, xs)
    return backward(layer, xs, read, hs)


def model_pass(layers: tuple[LayerMatrices, ...], w_out: Array, xs: Array) -> Any:
    """A language model's products forward: its layers, and the logits of all rows."""
    for layer in layers:
        xs, _ = forward(layer, xs)
    return _rows(xs) @ w_out


def model_gradient(layers: tuple[LayerMatrices, ...], w_out: Array, xs: Array) -> Any:
    """A language model's products forward and backward, three of them being the output layer's."""
    inputs, reads = [], []
    for layer in layers:
        inputs.append(xs)
        xs, read = forward(layer, xs)
        reads.append(read)
    logits = _rows(xs) @ w_out
    gradients: list[Any] = [_rows(xs).T @ logits]
    arriving = (logits @ w_out.T).reshape(xs.shape)
    for layer, layer_inputs, read in zip(reversed(layers), reversed(inputs), reversed(reads), strict=True):
        gradient, arriving = backward(layer, layer_inputs, read, arriving)
        gradients.append(gradient)
    return gradients, arriving


def model_steps(layers: tuple[LayerMatrices, ...], w_out: Array, xs: Array) -> Any:
    """The products of drawing tokens one after the other, ``len(xs)`` of them: the next step waits for all logits."""
    batch = xs.shape[1]

    def body(carry: tuple[Array, tuple[Array, ...]], x: Array) -> tuple[tuple[Array, tuple[Array, ...]], Array]:
        drawn, states = carry
        x = x + drawn
        after = []
        for layer, h in zip(layers, states, strict=True):
            z = x @ layer.w_x
            for matrix in layer.chain:
                h = h @ matrix
            x = (z + h).reshape(batch, -1, layer.chain[0].shape[0]).sum(axis=1)
            after.append(x)
        drawn = (x @ w_out).max(axis=1, keepdims=True)
        return (drawn, tuple(after)), drawn

    states = tuple(jnp.zeros((batch, layer.chain[0].shape[0]), xs.dtype) for layer in layers)
    return jax.lax.scan(body, (jnp.zeros((batch, 1), xs.dtype), states), xs)[1]


def subject(function: Any, *arguments: Any) -> Subject:
    """The floor as a subject."""
    program = compile_program(function, *arguments)
    return Subject(FLOOR, lambda: program.call(*arguments), None, program.compile_seconds, program.memory_bytes)
