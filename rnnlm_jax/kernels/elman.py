"""The Elman network over time as one call: its kernels, forward and backward, and the plain loops that they mean."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.kernels.operation import LinearOperation, Operation
from rnnlm_jax.kernels.sequences import as_rows, clear, dense, truths

#: By number, as the kernels know them: φ, and its derivative where its value is h.
ACTIVATIONS = {
    "identity": (lambda a: a, jnp.ones_like),
    "sigmoid": (sigmoid, lambda h: h * (1 - h)),
    "tanh": (tanh, lambda h: 1 - h * h),
    "relu": (jax.nn.relu, lambda h: (h > 0).astype(h.dtype)),
}
_FUNCTIONS = tuple(ACTIVATIONS.values())


@functools.partial(jax.custom_jvp, nondiff_argnums=(6, 7))
def elman(
    zs: Float[Array, "T B H"],
    w_h: Float[Array, "H H"],
    b: Float[Array, " H"],
    h0: Float[Array, "B H"],
    counts: Float[Array, "T B"],
    carries: Float[Array, "T B"],
    reverse: bool,
    activation: str,
) -> tuple[Float[Array, "T B H"], Float[Array, "B H"]]:
    """Run a simple recurrent network over projected inputs; all outputs and the last h.

        h_t = φ(z_t + h_{t-1} W_h + b)

    Derivatives of every kind and order are there. In reverse mode, the gradient of ``W_h`` is one product over all
    T·B rows, after the loop (Appleyard, Kočiský & Blunsom 2016, section 3.3).

    Args:
        zs: the projected inputs; T and B at least 1.
        w_h: the recurrent matrix.
        b: the bias, added here because that costs no pass over ``zs``.
        h0: the first h.
        counts: 0 where a step keeps the state as it is, 1 elsewhere; of shape [0, 0]: every step counts.
        carries: 0 where the state is zero before a step, 1 elsewhere; of shape [0, 0]: never.
        reverse: run from the last step to the first.
        activation: φ, one of ``ACTIVATIONS``.
    """
    (hs,) = _infer(as_rows(zs), w_h, b, h0, counts, carries, **_static(reverse, activation))
    return _results(hs, zs, reverse)


def _static(reverse: bool, activation: str) -> dict[str, Any]:
    return {"reverse": reverse, "activation": tuple(ACTIVATIONS).index(activation)}


def _results(hs: Array, zs: Array, reverse: bool) -> tuple[Array, Array]:
    hs = hs.reshape(zs.shape)
    return hs, hs[0 if reverse else -1]


@functools.partial(elman.defjvp, symbolic_zeros=True)
def _elman_jvp(reverse: bool, activation: str, primals: Any, tangents: Any) -> tuple[Any, Any]:
    zs, w_h, b, h0, counts, carries = primals
    dzs, dw_h, db, dh0 = tangents[:4]
    static = _static(reverse, activation)
    hs, before = _forward(as_rows(zs), w_h, b, h0, counts, carries, **static)
    du = as_rows(dense(dzs))
    if not isinstance(dw_h, SymbolicZero):
        du += matmul(before, dw_h)
    if not isinstance(db, SymbolicZero):
        du += over_batch(db, du)
    dhs, dh = _tangent(hs, w_h, counts, carries, du, dense(dh0), **static)
    return _results(hs, zs, reverse), (dhs.reshape(zs.shape), dh)


def _run(
    zs: Array, w_h: Array, b: Array, h0: Array, counts: Array, carries: Array, *, reverse: bool, activation: int
) -> tuple[Array, ...]:
    """Outputs, and the h that each step reads, ``[T*B, H]``."""
    phi = _FUNCTIONS[activation][0]

    def body(last: Array, inputs: Any) -> tuple[Array, Any]:
        z, count, carry = inputs
        h = clear(carry, last)
        after = phi(z + h @ w_h + over_batch(b, z))
        if count is not None:
            after = jnp.where(count, after, last)
        return after, (after, h)

    inputs = (zs.reshape(-1, *h0.shape), truths(counts), truths(carries))
    _, (hs, before) = jax.lax.scan(body, h0, inputs, reverse=reverse)
    return as_rows(hs), as_rows(before)


def _run_lean(*arrays: Array, reverse: bool, activation: int) -> tuple[Array, ...]:
    return _run(*arrays, reverse=reverse, activation=activation)[:1]


def _move(
    hs: Array, w_h: Array, counts: Array, carries: Array, du: Array, dh0: Array, *, reverse: bool, activation: int
) -> tuple[Array, ...]:
    """The derivative along ``du`` of the preactivations and that of the first h: of all h ``[T*B, H]``, the last."""
    slope = _FUNCTIONS[activation][1]

    def body(last: Array, inputs: Any) -> tuple[Array, Array]:
        moved, h, count, carry = inputs
        dh = slope(h) * (moved + clear(carry, last) @ w_h)
        if count is not None:
            dh = jnp.where(count, dh, last)
        return dh, dh

    du, hs = (a.reshape(-1, *dh0.shape) for a in (du, hs))
    dh, dhs = jax.lax.scan(body, dh0, (du, hs, truths(counts), truths(carries)), reverse=reverse)
    return as_rows(dhs), dh


def _pull(
    hs: Array, w_h: Array, counts: Array, carries: Array, g_hs: Array, g_h: Array, *, reverse: bool, activation: int
) -> tuple[Array, ...]:
    """The transpose of ``_move``: cotangents of the preactivations ``[T*B, H]`` and of the first h."""
    move = functools.partial(_move, hs, w_h, counts, carries, reverse=reverse, activation=activation)
    return tuple(jax.linear_transpose(move, g_hs, g_h)((g_hs, g_h)))


def _transpose(residuals: tuple[Array, ...], cotangents: tuple[Array, ...], **static: Any) -> tuple[Array, ...]:
    return _backward(*residuals, *cotangents, **static)


# Outputs take over the memory of the projected inputs, and cotangents theirs: less to be fetched and written.
_infer = Operation("elman_infer", _run_lean, aliases={0: 0})
_forward = Operation("elman_forward", _run, aliases={0: 0})
_backward = Operation("elman_backward", _pull, aliases={4: 0})
# The derivative has no kernel; its transpose, which training needs, has one.
_tangent = LinearOperation(None, _move, _transpose, residuals=4)
