"""The LSTM over time as one call: its kernels, forward and backward, and the plain loops that they mean."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import sigmoid, tanh, tanh_slope
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.kernels.operation import LinearOperation, Operation
from rnnlm_jax.kernels.sequences import as_rows, clear, dense, truths

State = tuple[Array, Array]  # h, c, each [B, H]


@functools.partial(jax.custom_jvp, nondiff_argnums=(7,))
def lstm(
    zs: Float[Array, "T B 4*H"],
    w_h: Float[Array, "H 4*H"],
    b: Float[Array, " 4*H"],
    h0: Float[Array, "B H"],
    c0: Float[Array, "B H"],
    counts: Float[Array, "T B"],
    carries: Float[Array, "T B"],
    reverse: bool,
) -> tuple[Float[Array, "T B H"], Float[Array, "B H"], Float[Array, "B H"]]:
    """Run the recurrence of an LSTM over projected inputs; all outputs, the last h and the last c.

        i, f, g, o = z_t + h_{t-1} W_h + b,    c_t = σ(f) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t)

    Derivatives of every kind and order are there. In reverse mode, the gradient of ``W_h`` is one product over all
    T·B rows, after the loop (Appleyard, Kočiský & Blunsom 2016, section 3.3).

    Args:
        zs: the projected inputs; T and B at least 1.
        w_h: the recurrent matrix, gates i, f, g, o.
        b: the bias, added here because a pass over ``zs`` costs as much as a tenth of the loop.
        h0: the first h.
        c0: the first c.
        counts: 0 where a step keeps the state as it is, 1 elsewhere; of shape [0, 0]: every step counts.
        carries: 0 where the state is zero before a step, 1 elsewhere; of shape [0, 0]: never.
        reverse: run from the last step to the first.
    """
    hs, c = _infer(as_rows(zs), w_h, b, h0, c0, counts, carries, reverse=reverse)
    return hs, hs[0 if reverse else -1], c


@functools.partial(lstm.defjvp, symbolic_zeros=True)
def _lstm_jvp(reverse: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    zs, w_h, b, h0, c0, counts, carries = primals
    dzs, dw_h, db, dh0, dc0 = tangents[:5]
    hs, c, gates, cs, before = _forward(as_rows(zs), w_h, b, h0, c0, counts, carries, reverse=reverse)
    du = as_rows(dense(dzs))
    if not isinstance(dw_h, SymbolicZero):
        du += matmul(as_rows(before), dw_h)
    if not isinstance(db, SymbolicZero):
        du += over_batch(db, du)
    moved = _tangent(gates, cs, c0, w_h, counts, carries, du, dense(dh0), dense(dc0), reverse=reverse)
    return (hs, hs[0 if reverse else -1], c), tuple(moved)


def _run(
    zs: Array, w_h: Array, b: Array, h0: Array, c0: Array, counts: Array, carries: Array, *, reverse: bool
) -> tuple[Array, ...]:
    """Outputs ``[T, B, H]`` and the last c; then gates after their nonlinearity ``[T*B, 4H]``, c, and the h read."""

    def body(state: State, inputs: Any) -> tuple[State, Any]:
        z, count, carry = inputs
        h, c = clear(carry, state[0]), clear(carry, state[1])
        i, f, g, o = jnp.split(z + h @ w_h + over_batch(b, z), 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        carousel = f * c + i * g
        after = o * tanh(carousel), carousel
        if count is not None:
            after = jnp.where(count, after[0], state[0]), jnp.where(count, after[1], state[1])
        return after, (after[0], jnp.concatenate([i, f, g, o], axis=-1), after[1], h)

    inputs = (zs.reshape(-1, h0.shape[0], zs.shape[-1]), truths(counts), truths(carries))
    (_, c), (hs, gates, cs, before) = jax.lax.scan(body, (h0, c0), inputs, reverse=reverse)
    return hs, c, as_rows(gates), cs, before


def _run_lean(*arrays: Array, reverse: bool) -> tuple[Array, ...]:
    return _run(*arrays, reverse=reverse)[:2]


def _move(
    gates: Array,
    cs: Array,
    c0: Array,
    w_h: Array,
    counts: Array,
    carries: Array,
    du: Array,
    dh0: Array,
    dc0: Array,
    *,
    reverse: bool,
) -> tuple[Array, ...]:
    """The derivative along ``du`` of the preactivations and that of the first state: of all h, the last h and c."""
    befores = jnp.concatenate([cs[1:], c0[None]] if reverse else [c0[None], cs[:-1]])

    def body(state: State, inputs: Any) -> tuple[State, Array]:
        moved, gate, before, after, count, carry = inputs
        dh, dc = clear(carry, state[0]), clear(carry, state[1])
        i, f, g, o = jnp.split(gate, 4, axis=-1)
        di, df, dg, do = jnp.split(moved + dh @ w_h, 4, axis=-1)
        shown = tanh(after)
        dc = f * dc + clear(carry, before) * (f * (1 - f)) * df + g * (i * (1 - i)) * di + i * (1 - g * g) * dg
        dh = o * tanh_slope(after) * dc + shown * (o * (1 - o)) * do
        if count is not None:
            dh, dc = jnp.where(count, dh, state[0]), jnp.where(count, dc, state[1])
        return (dh, dc), dh

    du, gates = (a.reshape(*cs.shape[:2], -1) for a in (du, gates))
    inputs = (du, gates, befores, cs, truths(counts), truths(carries))
    (dh, dc), dhs = jax.lax.scan(body, (dh0, dc0), inputs, reverse=reverse)
    return dhs, dh, dc


def _pull(
    gates: Array,
    cs: Array,
    c0: Array,
    w_h: Array,
    counts: Array,
    carries: Array,
    g_hs: Array,
    g_h: Array,
    g_c: Array,
    *,
    reverse: bool,
) -> tuple[Array, ...]:
    """The transpose of ``_move``: cotangents of the preactivations ``[T*B, 4H]`` and of the first h and c."""
    move = functools.partial(_move, gates, cs, c0, w_h, counts, carries, reverse=reverse)
    return tuple(jax.linear_transpose(move, gates, c0, c0)((g_hs, g_h, g_c)))


def _transpose(residuals: tuple[Array, ...], cotangents: tuple[Array, ...], *, reverse: bool) -> tuple[Array, ...]:
    return _backward(*residuals, *cotangents, reverse=reverse)


# Gates take over the memory of the preactivations, and cotangents that of the gates: less to be fetched and written.
_infer = Operation("lstm_infer", _run_lean)
_forward = Operation("lstm_forward", _run, aliases={0: 2})
_backward = Operation("lstm_backward", _pull, aliases={0: 0})
# The derivative has no kernel; its transpose, which training needs, has one.
_tangent = LinearOperation(None, _move, _transpose, residuals=6)
