"""The GRU over time as one call: its kernels, forward and backward, and the plain loops that they mean."""

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


@functools.partial(jax.custom_jvp, nondiff_argnums=(7,))
def gru(
    zs: Float[Array, "T B 3*H"],
    w_h: Float[Array, "H 3*H"],
    b: Float[Array, " 3*H"],
    b_n: Float[Array, " H"],
    h0: Float[Array, "B H"],
    counts: Float[Array, "T B"],
    carries: Float[Array, "T B"],
    reverse: bool,
) -> tuple[Float[Array, "T B H"], Float[Array, "B H"]]:
    """Run the recurrence of a GRU, reset gate after the product, over projected inputs; all outputs and the last h.

    With ``a_r, a_u, a_n`` the blocks of ``z_t + b`` and ``p_r, p_u, p_n`` those of ``h_{t-1} W_h``,

        r = σ(a_r + p_r),    u = σ(a_u + p_u),    n = tanh(a_n + r (p_n + b_n)),    h_t = n + u (h_{t-1} - n)

    Derivatives of every kind and order are there. In reverse mode, the gradient of ``W_h`` is one product over all
    T·B rows, after the loop (Appleyard, Kočiský & Blunsom 2016, section 3.3).

    Args:
        zs: the projected inputs; T and B at least 1.
        w_h: the recurrent matrix, gates r, u, n.
        b: the bias, added here because that costs no pass over ``zs``.
        b_n: the bias of the candidate's recurrent part, which the reset gate closes too.
        h0: the first h.
        counts: 0 where a step keeps the state as it is, 1 elsewhere; of shape [0, 0]: every step counts.
        carries: 0 where the state is zero before a step, 1 elsewhere; of shape [0, 0]: never.
        reverse: run from the last step to the first.
    """
    (hs,) = _infer(as_rows(zs), w_h, b, b_n, h0, counts, carries, reverse=reverse)
    return hs, hs[0 if reverse else -1]


@functools.partial(gru.defjvp, symbolic_zeros=True)
def _gru_jvp(reverse: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    zs, w_h, b, b_n, h0, counts, carries = primals
    dzs, dw_h, db, db_n, dh0 = tangents[:5]
    hs, gates, products, before = _forward(as_rows(zs), w_h, b, b_n, h0, counts, carries, reverse=reverse)
    dz, dp = as_rows(dense(dzs)), jnp.zeros_like(gates)
    if not isinstance(db, SymbolicZero):
        dz += over_batch(db, dz)
    if not isinstance(dw_h, SymbolicZero):
        dp = matmul(as_rows(before), dw_h)
    if not isinstance(db_n, SymbolicZero):
        dp += over_batch(jnp.pad(db_n, (2 * len(db_n), 0)), dp)
    moved = _tangent(gates, products, before, w_h, counts, carries, dz, dp, dense(dh0), reverse=reverse)
    return (hs, hs[0 if reverse else -1]), tuple(moved)


def _run(
    zs: Array, w_h: Array, b: Array, b_n: Array, h0: Array, counts: Array, carries: Array, *, reverse: bool
) -> tuple[Array, ...]:
    """Outputs ``[T, B, H]``; then gates after their nonlinearity ``[T*B, 3H]``, ``p_n + b_n``, and the h read."""

    def body(last: Array, inputs: Any) -> tuple[Array, Any]:
        z, count, carry = inputs
        h = clear(carry, last)
        (a_r, a_u, a_n), (p_r, p_u, p_n) = jnp.split(z + over_batch(b, z), 3, axis=-1), jnp.split(h @ w_h, 3, axis=-1)
        r, u, product = sigmoid(a_r + p_r), sigmoid(a_u + p_u), p_n + over_batch(b_n, p_n)
        n = tanh(a_n + r * product)
        after = n + u * (h - n)
        if count is not None:
            after = jnp.where(count, after, last)
        return after, (after, jnp.concatenate([r, u, n], axis=-1), product, h)

    inputs = (zs.reshape(-1, h0.shape[0], zs.shape[-1]), truths(counts), truths(carries))
    _, (hs, gates, products, before) = jax.lax.scan(body, h0, inputs, reverse=reverse)
    return hs, as_rows(gates), products, before


def _run_lean(*arrays: Array, reverse: bool) -> tuple[Array, ...]:
    return _run(*arrays, reverse=reverse)[:1]


def _move(
    gates: Array,
    products: Array,
    before: Array,
    w_h: Array,
    counts: Array,
    carries: Array,
    dz: Array,
    dp: Array,
    dh0: Array,
    *,
    reverse: bool,
) -> tuple[Array, ...]:
    """The derivative along ``dz`` of ``z + b``, ``dp`` of the products, and that of the first h: of all h, the last."""

    def body(last: Array, inputs: Any) -> tuple[Array, Array]:
        moved, mixed, gate, product, h, count, carry = inputs
        dh = clear(carry, last)
        r, u, n = jnp.split(gate, 3, axis=-1)
        (da_r, da_u, da_n), (dp_r, dp_u, dp_n) = (jnp.split(a, 3, axis=-1) for a in (moved, mixed + dh @ w_h))
        dr, du = r * (1 - r) * (da_r + dp_r), u * (1 - u) * (da_u + dp_u)
        dn = (1 - n * n) * (da_n + r * dp_n + product * dr)
        dh = (1 - u) * dn + u * dh + (h - n) * du
        if count is not None:
            dh = jnp.where(count, dh, last)
        return dh, dh

    dz, dp, gates = (a.reshape(*before.shape[:2], -1) for a in (dz, dp, gates))
    inputs = (dz, dp, gates, products, before, truths(counts), truths(carries))
    dh, dhs = jax.lax.scan(body, dh0, inputs, reverse=reverse)
    return dhs, dh


def _pull(
    gates: Array,
    products: Array,
    before: Array,
    w_h: Array,
    counts: Array,
    carries: Array,
    g_hs: Array,
    g_h: Array,
    *,
    reverse: bool,
) -> tuple[Array, ...]:
    """The transpose of ``_move``: cotangents of ``z + b`` and of the products, ``[T*B, 3H]``, and of the first h."""
    move = functools.partial(_move, gates, products, before, w_h, counts, carries, reverse=reverse)
    return tuple(jax.linear_transpose(move, gates, gates, g_h)((g_hs, g_h)))


def _transpose(residuals: tuple[Array, ...], cotangents: tuple[Array, ...], *, reverse: bool) -> tuple[Array, ...]:
    return _backward(*residuals, *cotangents, reverse=reverse)


# Gates take over the memory of the projected inputs, and cotangents that of the gates: less to be fetched and written.
_infer = Operation("gru_infer", _run_lean)
_forward = Operation("gru_forward", _run, aliases={0: 1})
_backward = Operation("gru_backward", _pull, aliases={0: 0})
# The derivative has no kernel; its transpose, which training needs, has one.
_tangent = LinearOperation(None, _move, _transpose, residuals=6)
