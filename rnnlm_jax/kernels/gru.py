"""The GRU over time as one call: the loops that define it, and its kernels."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.tangents import instantiated, is_zero
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.kernels.recurrent_kernel import (
    RecurrentKernel,
    add_bias_tangent,
    as_rows,
    step_flags,
    unless_masked,
    unless_reset,
)


@functools.partial(jax.custom_jvp, nondiff_argnums=(7,))
def gru(
    zs: Float[Array, "T B GH"],
    w_h: Float[Array, "H GH"],
    b: Float[Array, " GH"],
    b_n: Float[Array, " H"],
    h0: Float[Array, "B H"],
    step_mask: Float[Array, "_ _"],
    keep_state: Float[Array, "_ _"],
    reverse: bool,
) -> tuple[Float[Array, "T B H"], Float[Array, "B H"]]:
    """Run a GRU, reset gate after the product, over projected inputs; return all outputs and the last h.

    With ``a_r, a_u, a_n`` the blocks of ``z_t + b`` and ``p_r, p_u, p_n`` those of ``h_{t-1} W_h``,

        r = σ(a_r + p_r),    u = σ(a_u + p_u),    n = tanh(a_n + r (p_n + b_n)),    h_t = n + u (h_{t-1} - n)

    It has derivatives of every kind and order. In reverse mode, the gradient of ``W_h`` is one product over all T·B
    rows, after the loop (Appleyard, Kočiský & Blunsom 2016, section 3.3).

    Args:
        zs: the projected inputs; T and B at least 1.
        w_h: the recurrent matrix, gates r, u, n.
        b: the bias, added here because that costs no pass over ``zs``.
        b_n: the recurrent bias of the candidate, inside the reset gate.
        h0: the first h.
        step_mask: ``[T, B]``, 0 where a step keeps the state, 1 elsewhere; ``[0, 0]``: every step counts.
        keep_state: ``[T, B]``, 0 where the state is zeroed before a step, 1 elsewhere; ``[0, 0]``: never.
        reverse: run from the last step to the first.
    """
    (hs,) = KERNEL.infer(as_rows(zs), w_h, b, b_n, h0, step_mask, keep_state, reverse=reverse)
    return hs, hs[0 if reverse else -1]


@functools.partial(gru.defjvp, symbolic_zeros=True)
def _gru_jvp(reverse: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    zs, w_h, b, b_n, h0, step_mask, keep_state = primals
    dzs, dw_h, db, db_n, dh0 = tangents[:5]
    static = {"reverse": reverse}
    hs, gates, products, before = KERNEL.forward(as_rows(zs), w_h, b, b_n, h0, step_mask, keep_state, **static)
    dz = add_bias_tangent(as_rows(instantiated(dzs)), db)
    dp = jnp.zeros_like(gates) if is_zero(dw_h) else matmul(as_rows(before), dw_h)
    if not is_zero(db_n):
        dp += over_batch(jnp.pad(db_n, (2 * len(db_n), 0)), dp)
    residuals = (gates, products, before, w_h, step_mask, keep_state)
    dhs, dh = KERNEL.tangent(*residuals, dz, dp, instantiated(dh0), **static)
    return (hs, hs[0 if reverse else -1]), (dhs, dh)


def run_loop(
    zs: Array, w_h: Array, b: Array, b_n: Array, h0: Array, step_mask: Array, keep_state: Array, *, reverse: bool
) -> tuple[Array, ...]:
    """Return all outputs ``[T, B, H]``; activated gates ``[T*B, 3H]``, ``p_n + b_n``, and the h of each step."""

    def body(last: Array, inputs: Any) -> tuple[Array, Any]:
        z, counts, keep = inputs
        h = unless_reset(keep, last)
        (a_r, a_u, a_n), (p_r, p_u, p_n) = jnp.split(z + over_batch(b, z), 3, axis=-1), jnp.split(h @ w_h, 3, axis=-1)
        r, u, product = sigmoid(a_r + p_r), sigmoid(a_u + p_u), p_n + over_batch(b_n, p_n)
        n = tanh(a_n + r * product)
        after = unless_masked(counts, n + u * (h - n), last)
        return after, (after, jnp.concatenate([r, u, n], axis=-1), product, h)

    inputs = (zs.reshape(-1, h0.shape[0], zs.shape[-1]), step_flags(step_mask), step_flags(keep_state))
    _, (hs, gates, products, before) = jax.lax.scan(body, h0, inputs, reverse=reverse)
    return hs, as_rows(gates), products, before


def tangent_loop(
    gates: Array,
    products: Array,
    before: Array,
    w_h: Array,
    step_mask: Array,
    keep_state: Array,
    dz: Array,
    dp: Array,
    dh0: Array,
    *,
    reverse: bool,
) -> tuple[Array, ...]:
    """Return the tangents of all h and of the last, along ``dz`` of ``z + b``, ``dp`` of the products, and ``dh0``."""

    def body(last: Array, inputs: Any) -> tuple[Array, Array]:
        dz_t, dp_t, gate, product, h, counts, keep = inputs
        dh = unless_reset(keep, last)
        r, u, n = jnp.split(gate, 3, axis=-1)
        (da_r, da_u, da_n), (dp_r, dp_u, dp_n) = (jnp.split(a, 3, axis=-1) for a in (dz_t, dp_t + dh @ w_h))
        dr, du = r * (1 - r) * (da_r + dp_r), u * (1 - u) * (da_u + dp_u)
        dn = (1 - n * n) * (da_n + r * dp_n + product * dr)
        dh = unless_masked(counts, (1 - u) * dn + u * dh + (h - n) * du, last)
        return dh, dh

    dz, dp, gates = (a.reshape(*before.shape[:2], -1) for a in (dz, dp, gates))
    inputs = (dz, dp, gates, products, before, step_flags(step_mask), step_flags(keep_state))
    dh, dhs = jax.lax.scan(body, dh0, inputs, reverse=reverse)
    return dhs, dh


# Gates take over the memory of the projected inputs, and cotangents that of the gates.
KERNEL = RecurrentKernel(
    "gru",
    run_loop,
    tangent_loop,
    results=1,
    residuals=6,
    linear_like=lambda residuals, cotangents: (residuals[0], residuals[0], cotangents[1]),
    aliases={"forward": {0: 1}, "backward": {0: 0}},
)
