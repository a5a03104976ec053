"""The LSTM over time as one call: the loops that define it, and its kernels."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import sigmoid, tanh, tanh_slope
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.tangents import instantiated, is_zero
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.kernels.operation import Operation, is_reference_only
from rnnlm_jax.kernels.recurrent_kernel import (
    RecurrentKernel,
    as_rows,
    preactivation_tangent,
    step_flags,
    unless_masked,
    unless_reset,
)

State = tuple[Array, Array]  # h and c, each [B, H]


@functools.partial(jax.custom_jvp, nondiff_argnums=(8, 9))
def lstm(
    zs: Float[Array, "T B GH"],
    w_h: Float[Array, "H GH"],
    b: Float[Array, " GH"],
    h0: Float[Array, "B H"],
    c0: Float[Array, "B H"],
    step_mask: Float[Array, "_ _"],
    keep_state: Float[Array, "_ _"],
    state_mask: Float[Array, "_ _"],
    reverse: bool,
    capped: bool,
) -> tuple[Float[Array, "T B H"], Float[Array, "B H"], Float[Array, "B H"]]:
    """Run an LSTM over projected inputs; return all outputs, the last h and the last c.

        i, f, g, o = z_t + (m ⊙ h_{t-1}) W_h + b,    c_t = σ(f) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t)

    It has derivatives of every kind and order. In reverse mode, the gradient of ``W_h`` is one product over all T·B
    rows, after the loop (Appleyard, Kočiský & Blunsom 2016, section 3.3).

    Args:
        zs: the projected inputs; T and B at least 1.
        w_h: the recurrent matrix, gates i, f, g, o.
        b: the bias, added here because a pass over ``zs`` costs as much as a tenth of the loop.
        h0: the first h.
        c0: the first c.
        step_mask: ``[T, B]``, 0 where a step keeps the state, 1 elsewhere; ``[0, 0]``: every step counts.
        keep_state: ``[T, B]``, 0 where the state is zeroed before a step, 1 elsewhere; ``[0, 0]``: never.
        state_mask: the factors m, ``[B, H]``, which have no derivative; ``[0, 0]``: all ones.
        reverse: run from the last step to the first.
        capped: take ``min(i, -f)`` in place of i, so that the input gate is at most one minus the forget gate.
    """
    static = {"reverse": reverse, "capped": capped}
    hs, c = KERNEL.infer(as_rows(zs), w_h, b, h0, c0, step_mask, keep_state, state_mask, **static)
    return hs, hs[0 if reverse else -1], c


@functools.partial(lstm.defjvp, symbolic_zeros=True)
def _lstm_jvp(reverse: bool, capped: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    zs, w_h, b, h0, c0, *control = primals
    dzs, dw_h, db, dh0, dc0 = tangents[:5]
    static = {"reverse": reverse, "capped": capped}
    hs, c, gates, cs, before = KERNEL.forward(as_rows(zs), w_h, b, h0, c0, *control, **static)
    du = preactivation_tangent(dzs, before, dw_h, db)
    residuals = (gates, cs, c0, w_h, *control)
    dhs, dh, dc = KERNEL.tangent(*residuals, du, instantiated(dh0), instantiated(dc0), **static)
    return (hs, hs[0 if reverse else -1], c), (dhs, dh, dc)


#: Otherwise the projection of all steps at once is faster: it reads its matrix once. Matrices of this size are in the
#: caches of a processor at every step.
SMALLEST_PROJECTING_BATCH, LARGEST_PROJECTING_BYTES = 8, 16 << 20


@functools.partial(jax.custom_jvp, nondiff_argnums=(9, 10))
def lstm_of_inputs(
    xs: Float[Array, "T B D"],
    w_x: Float[Array, "D GH"],
    w_h: Float[Array, "H GH"],
    b: Float[Array, " GH"],
    h0: Float[Array, "B H"],
    c0: Float[Array, "B H"],
    step_mask: Float[Array, "_ _"],
    keep_state: Float[Array, "_ _"],
    state_mask: Float[Array, "_ _"],
    reverse: bool,
    capped: bool,
) -> tuple[Float[Array, "T B H"], Float[Array, "B H"], Float[Array, "B H"]]:
    """Return ``lstm(xs w_x, …)``; without derivatives, inputs are projected inside the loop where that pays.

    That is a sixth faster at T, B, H = 64, 64, 256: the projected inputs of all steps are neither written nor read.

    Args:
        xs: inputs; T and B at least 1.
        w_x: the input matrix.
        w_h, b, h0, c0, step_mask, keep_state, state_mask, reverse, capped: see ``lstm``.
    """
    rest = (w_h, b, h0, c0, step_mask, keep_state, state_mask)
    if not _projects_in_loop(xs, w_x, w_h):
        return lstm(_project(xs, w_x), *rest, reverse, capped)
    hs, c = INFER_PROJECTING(as_rows(xs), w_x, *rest, reverse=reverse, capped=capped)
    return hs, hs[0 if reverse else -1], c


@functools.partial(lstm_of_inputs.defjvp, symbolic_zeros=True)
def _lstm_of_inputs_jvp(reverse: bool, capped: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    xs, w_x, *rest = primals
    dxs, dw_x, *drest = tangents
    zs = _project(xs, w_x)
    parts = [_project(dxs, w_x)] if not is_zero(dxs) else []
    parts += [_project(xs, dw_x)] if not is_zero(dw_x) else []
    dzs = sum(parts[1:], parts[0]) if parts else jnp.zeros_like(zs)
    return _lstm_jvp(reverse, capped, (zs, *rest), (dzs, *drest))


def _projects_in_loop(xs: Array, w_x: Array, w_h: Array) -> bool:
    steps, batch, _ = xs.shape
    if is_reference_only() or not (isinstance(steps, int) and isinstance(batch, int)):  # symbols, in exported programs
        return False
    matrix_bytes = (w_x.size + w_h.size) * w_h.dtype.itemsize
    return steps > 1 and batch >= SMALLEST_PROJECTING_BATCH and matrix_bytes <= LARGEST_PROJECTING_BYTES


def _project(xs: Array, w_x: Array) -> Array:
    return matmul(as_rows(xs), w_x).reshape(*xs.shape[:-1], w_x.shape[1])


def run_projecting_loop(xs: Array, w_x: Array, *rest: Array, **static: bool) -> tuple[Array, ...]:
    """Return outputs ``[T, B, H]`` and the last c, given inputs ``[T*B, D]`` and their matrix."""
    return run_loop(xs @ w_x, *rest, **static)[:2]


INFER_PROJECTING = Operation("lstm_infer_projecting", run_projecting_loop)


def run_loop(
    zs: Array,
    w_h: Array,
    b: Array,
    h0: Array,
    c0: Array,
    step_mask: Array,
    keep_state: Array,
    state_mask: Array,
    *,
    reverse: bool,
    capped: bool,
) -> tuple[Array, ...]:
    """Return outputs ``[T, B, H]`` and the last c; activated gates ``[T*B, 4H]``, c, and the h that each product reads.

    An input gate that is capped is returned with a minus sign.
    """

    def body(state: State, inputs: Any) -> tuple[State, Any]:
        z, counts, keep = inputs
        h, c = masked(state_mask, unless_reset(keep, state[0])), unless_reset(keep, state[1])
        i, f, g, o = jnp.split(z + h @ w_h + over_batch(b, z), 4, axis=-1)
        is_capped = capped & (-f <= i)
        i, f, g, o = sigmoid(jnp.where(is_capped, -f, i)), sigmoid(f), tanh(g), sigmoid(o)
        new_c = f * c + i * g
        after = unless_masked(counts, o * tanh(new_c), state[0]), unless_masked(counts, new_c, state[1])
        gates = jnp.concatenate([jnp.where(is_capped, -i, i), f, g, o], axis=-1)
        return after, (after[0], gates, after[1], h)

    inputs = (zs.reshape(-1, h0.shape[0], zs.shape[-1]), step_flags(step_mask), step_flags(keep_state))
    (_, c), (hs, gates, cs, before) = jax.lax.scan(body, (h0, c0), inputs, reverse=reverse)
    return hs, c, as_rows(gates), cs, before


def tangent_loop(
    gates: Array,
    cs: Array,
    c0: Array,
    w_h: Array,
    step_mask: Array,
    keep_state: Array,
    state_mask: Array,
    du: Array,
    dh0: Array,
    dc0: Array,
    *,
    reverse: bool,
    capped: bool,
) -> tuple[Array, ...]:
    """Return the tangents of all h, the last h and the last c, along ``du`` of pre-activations, ``dh0``, ``dc0``."""
    befores = jnp.concatenate([cs[1:], c0[None]] if reverse else [c0[None], cs[:-1]])

    def body(state: State, inputs: Any) -> tuple[State, Array]:
        du_t, gate, before, after, counts, keep = inputs
        dh, dc = masked(state_mask, unless_reset(keep, state[0])), unless_reset(keep, state[1])
        i, f, g, o = jnp.split(gate, 4, axis=-1)
        di, df, dg, do = jnp.split(du_t + dh @ w_h, 4, axis=-1)
        if capped:
            i, di = jnp.abs(i), jnp.where(jnp.signbit(i), -df, di)
        c, shown = unless_reset(keep, before), tanh(after)
        dc = f * dc + c * (f * (1 - f)) * df + g * (i * (1 - i)) * di + i * (1 - g * g) * dg
        dh = o * tanh_slope(after) * dc + shown * (o * (1 - o)) * do
        dh, dc = unless_masked(counts, dh, state[0]), unless_masked(counts, dc, state[1])
        return (dh, dc), dh

    du, gates = (a.reshape(*cs.shape[:2], -1) for a in (du, gates))
    inputs = (du, gates, befores, cs, step_flags(step_mask), step_flags(keep_state))
    (dh, dc), dhs = jax.lax.scan(body, (dh0, dc0), inputs, reverse=reverse)
    return dhs, dh, dc


def masked(state_mask: Array, h: Array) -> Array:
    """Return h times its factors; ``[0, 0]`` stands for all ones."""
    return h * state_mask if state_mask.shape != (0, 0) else h


# Gates take over the memory of the projected inputs, and cotangents that of the gates.
KERNEL = RecurrentKernel(
    "lstm",
    run_loop,
    tangent_loop,
    results=2,
    residuals=7,
    linear_like=lambda residuals, cotangents: (residuals[0], residuals[2], residuals[2]),
    aliases={"forward": {0: 2}, "backward": {0: 0}},
)
