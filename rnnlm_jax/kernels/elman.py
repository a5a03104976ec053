"""The Elman network over time as one call: the loops that define it, and its kernels."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.tangents import instantiated
from rnnlm_jax.kernels.recurrent_kernel import (
    RecurrentKernel,
    as_rows,
    preactivation_tangent,
    step_flags,
    unless_masked,
    unless_reset,
)

#: Activation φ and its derivative as a function of its value; the kernels number them in this order.
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
    step_mask: Float[Array, "_ _"],
    keep_state: Float[Array, "_ _"],
    reverse: bool,
    activation: str,
) -> tuple[Float[Array, "T B H"], Float[Array, "B H"]]:
    """Run a simple recurrent network over projected inputs; return all outputs and the last h.

        h_t = φ(z_t + h_{t-1} W_h + b)

    It has derivatives of every kind and order. In reverse mode, the gradient of ``W_h`` is one product over all T·B
    rows, after the loop (Appleyard, Kočiský & Blunsom 2016, section 3.3).

    Args:
        zs: the projected inputs; T and B at least 1.
        w_h: the recurrent matrix.
        b: the bias, added here because that costs no pass over ``zs``.
        h0: the first h.
        step_mask: ``[T, B]``, 0 where a step keeps the state, 1 elsewhere; ``[0, 0]``: every step counts.
        keep_state: ``[T, B]``, 0 where the state is zeroed before a step, 1 elsewhere; ``[0, 0]``: never.
        reverse: run from the last step to the first.
        activation: φ, one of ``ACTIVATIONS``.
    """
    (hs,) = KERNEL.infer(as_rows(zs), w_h, b, h0, step_mask, keep_state, **_static(reverse, activation))
    return _results(hs, zs, reverse)


def _static(reverse: bool, activation: str) -> dict[str, Any]:
    return {"reverse": reverse, "activation": tuple(ACTIVATIONS).index(activation)}


def _results(hs: Array, zs: Array, reverse: bool) -> tuple[Array, Array]:
    hs = hs.reshape(zs.shape)
    return hs, hs[0 if reverse else -1]


@functools.partial(elman.defjvp, symbolic_zeros=True)
def _elman_jvp(reverse: bool, activation: str, primals: Any, tangents: Any) -> tuple[Any, Any]:
    zs, w_h, b, h0, step_mask, keep_state = primals
    dzs, dw_h, db, dh0 = tangents[:4]
    static = _static(reverse, activation)
    hs, before = KERNEL.forward(as_rows(zs), w_h, b, h0, step_mask, keep_state, **static)
    du = preactivation_tangent(dzs, before, dw_h, db)
    dhs, dh = KERNEL.tangent(hs, w_h, step_mask, keep_state, du, instantiated(dh0), **static)
    return _results(hs, zs, reverse), (dhs.reshape(zs.shape), dh)


def run_loop(
    zs: Array, w_h: Array, b: Array, h0: Array, step_mask: Array, keep_state: Array, *, reverse: bool, activation: int
) -> tuple[Array, ...]:
    """Return all outputs, and the h that each step reads, ``[T*B, H]``."""
    phi = _FUNCTIONS[activation][0]

    def body(last: Array, inputs: Any) -> tuple[Array, Any]:
        z, counts, keep = inputs
        h = unless_reset(keep, last)
        after = unless_masked(counts, phi(z + h @ w_h + over_batch(b, z)), last)
        return after, (after, h)

    inputs = (zs.reshape(-1, *h0.shape), step_flags(step_mask), step_flags(keep_state))
    _, (hs, before) = jax.lax.scan(body, h0, inputs, reverse=reverse)
    return as_rows(hs), as_rows(before)


def tangent_loop(
    hs: Array, w_h: Array, step_mask: Array, keep_state: Array, du: Array, dh0: Array, *, reverse: bool, activation: int
) -> tuple[Array, ...]:
    """Return the tangents of all h, ``[T*B, H]``, and of the last, along ``du`` of the pre-activations and ``dh0``."""
    slope = _FUNCTIONS[activation][1]

    def body(last: Array, inputs: Any) -> tuple[Array, Array]:
        du_t, h, counts, keep = inputs
        dh = unless_masked(counts, slope(h) * (du_t + unless_reset(keep, last) @ w_h), last)
        return dh, dh

    du, hs = (a.reshape(-1, *dh0.shape) for a in (du, hs))
    dh, dhs = jax.lax.scan(body, dh0, (du, hs, step_flags(step_mask), step_flags(keep_state)), reverse=reverse)
    return as_rows(dhs), dh


# Outputs take over the memory of the projected inputs, and cotangents of pre-activations that of the outputs'.
KERNEL = RecurrentKernel(
    "elman",
    run_loop,
    tangent_loop,
    results=1,
    residuals=4,
    linear_like=lambda residuals, cotangents: cotangents,
    aliases={"infer": {0: 0}, "forward": {0: 0}, "backward": {4: 0}},
)
