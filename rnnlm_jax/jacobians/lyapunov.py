"""Lyapunov exponents: the growth rates, in nats a step, of volumes that the Jacobians of a cell push through time.

A random orthonormal frame is pushed forward and orthonormalised again by QR; the mean of ``log|r_kk|`` is the k-th
exponent (Benettin et al. 1980; for recurrent networks Engelken, Wolf & Abbott 2023). They are asymptotic: at a finite
lag no singular value of the product (see ``spectrum``).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import (
    check_factored,
    floating,
    inputs_over_time,
    real_array,
    result_dtype,
    square_matrices,
)
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.frames import (
    FrameLog,
    cell_push,
    check_count,
    check_time,
    mean_exponents,
    push_frame,
    random_frame,
)
from rnnlm_jax.jacobians.log_abs_det import log_abs_det
from rnnlm_jax.jacobians.log_determinant import has_closed_form, step_log_abs_det
from rnnlm_jax.jacobians.power_of_two import power_of_two
from rnnlm_jax.jacobians.state_vector import state_size
from rnnlm_jax.jacobians.trajectory import trajectory

#: Neighbouring blocks of time that are correlated more than this are too short for a standard error.
LONG_CORRELATION = 0.65


class LyapunovSpectrum(NamedTuple):
    """Lyapunov exponents and what goes with them; natural logs, per step."""

    exponents: Float[Array, " k"]
    """Descending; -inf for directions that singular Jacobians map to zero (see ``frames.mean_exponents``)."""
    standard_errors: Float[Array, " k"]
    """Of the time mean, from the scatter of block means and the correlation of neighbouring ones; 0 for an exponent of
    -inf, inf from fewer than two blocks."""
    mean_log_abs_det: Float[Array, ""] | None
    """Time mean of log|det J|, which the sum of all n exponents must equal; computed without them. None if fewer than n
    were asked for and only factoring a matrix a step would give it."""
    kaplan_yorke_dimension: Float[Array, ""]
    """See ``kaplan_yorke_dimension``; a lower bound where it equals the number k < n of exponents asked for."""
    steps: Int[Array, ""]
    """Steps in the means, burn-in left out."""
    long_correlations: Bool[Array, " k"]
    """Whether correlations outlast the blocks so far that the standard error is a lower bound: take more steps, or
    fewer blocks."""


def lyapunov_spectrum(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"],
    *,
    key: Key,
    count: int | None = None,
    burn_in: int = 0,
    qr_interval: int = 1,
    blocks: int | None = None,
) -> LyapunovSpectrum:
    """The largest Lyapunov exponents of a cell driven by inputs, of its full state.

        λ_k = 1/(T - burn_in) Σ_t log|r_kk(t)|,    J_t ⋯ J_{t-s+1} Q_{t-s} = Q_t R_t

    A cell that splits forms its Jacobian, O(n²), and multiplies it into the frame; another pushes each of the frame's
    columns through its step as a tangent.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched; ``vmap`` for more.
        xs: the inputs, one sequence; zeros for the autonomous dynamics.
        key: of the first frame, on which the exponents of long sequences do not depend.
        count: k, how many exponents; all n unless given.
        burn_in: leading steps, of state and frame together, that the means leave out.
        qr_interval: s, steps between two QR decompositions. The columns of a frame drift together by ``s (λ_1 - λ_k)``
            nats in between; keep that well below 36 in float64 and 16 in float32, beyond which r_kk is rounding error
            (and taken for zero: an exponent of -inf).
        blocks: blocks of time for the standard errors; about the square root of the number of intervals unless given.

    Raises:
        UserError: if ``qr_interval`` does not divide ``burn_in`` and the steps after it, a number is out of range, or
            inputs or state have batch axes or do not fit the cell.
    """
    check_factored(cell)
    n, xs = state_size(cell), inputs_over_time(cell, state, xs, batched=False)
    count = check_count(n if count is None else count, n)
    check_time(xs.shape[0], burn_in, qr_interval, blocks)
    return _of_cell(cell, params, state, xs, key, count, burn_in, qr_interval, blocks)


@compiled("cell", "count", "burn_in", "qr_interval", "blocks")
def _of_cell(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Array,
    key: Key,
    count: int,
    burn_in: int,
    qr_interval: int,
    blocks: int | None,
) -> LyapunovSpectrum:
    n, zs = state_size(cell), cell.input_projection(params, xs)
    frame = random_frame(key, n, count, cell.spec.param_dtype)
    frames = push_frame(cell_push(cell, params), state, frame, zs, qr_interval)
    log_det = None
    if has_closed_form(cell) or count == n:
        kept = jax.tree.map(lambda a: a[burn_in:], (trajectory(cell, params, state, zs).before, zs))
        log_det = step_log_abs_det(cell, params, *kept).mean()
    return _summary(frames, log_det, burn_in, qr_interval, blocks)


def lyapunov_of_matrices(
    matrices: Any,
    *,
    key: Key,
    count: int | None = None,
    burn_in: int = 0,
    qr_interval: int = 1,
    blocks: int | None = None,
) -> LyapunovSpectrum:
    """The largest Lyapunov exponents of a product ``… J_1 J_0`` of given matrices, the first to act first.

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any type.
        key: of the first frame.
        count: see ``lyapunov_spectrum``.
        burn_in: likewise.
        qr_interval: likewise.
        blocks: likewise.

    Returns:
        floats of the matrices' type, in which they are computed; float32 for narrower ones, jax's default for whole
        numbers and booleans.

    Raises:
        UserError: if the matrices are not square, not real, or have batch axes; see also ``lyapunov_spectrum``.
    """
    matrices = square_matrices(matrices)
    matrices = jnp.asarray(matrices, result_dtype(matrices.dtype))
    steps, n, _ = matrices.shape
    count = check_count(n if count is None else count, n)
    check_time(steps, burn_in, qr_interval, blocks)
    return _of_matrices(matrices, key, count, burn_in, qr_interval, blocks)


@compiled("count", "burn_in", "qr_interval", "blocks")
def _of_matrices(
    matrices: Array, key: Key, count: int, burn_in: int, qr_interval: int, blocks: int | None
) -> LyapunovSpectrum:
    n = matrices.shape[1]
    frame = random_frame(key, n, count, matrices.dtype)

    def push(state: None, frame: Array, j: Array) -> tuple[None, Array]:
        return state, jnp.matmul(j, frame, precision="highest")

    scaled = power_of_two(matrices)
    frames = push_frame(push, None, frame, scaled.matrix, qr_interval)
    exponents = scaled.exponent.reshape(-1, qr_interval).sum(axis=1, dtype=jnp.int32).astype(matrices.dtype)
    log_scales = exponents * jnp.log(jnp.full((), 2, matrices.dtype))
    frames = frames._replace(log_r=frames.log_r + log_scales[:, None])
    log_det = jax.lax.map(log_abs_det, matrices[burn_in:]).mean() if count == n else None
    return _summary(frames, log_det, burn_in, qr_interval, blocks)


def kaplan_yorke_dimension(exponents: Any) -> Float[Array, ""]:
    """The dimension of the attractor by Kaplan and Yorke (1979), ``j + (λ_1 + … + λ_j) / |λ_{j+1}|``.

    j is the largest number of leading exponents whose sum is not negative: 0 if λ_1 < 0, and all k, with no fraction,
    if not even the sum of all is negative.

    Args:
        exponents: descending, real numbers ``[k]``.

    Raises:
        UserError: unless they are one vector.
    """
    exponents = real_array(exponents, "exponents")
    if exponents.ndim != 1 or not exponents.size:
        raise UserError(f"exponents are one vector [k], not of shape {exponents.shape}: vmap over batch axes")
    return _dimension(floating(exponents, result_dtype(exponents.dtype)))


@compiled()
def _dimension(exponents: Array) -> Array:
    zero, sums = jnp.zeros((1,), exponents.dtype), jnp.cumsum(exponents)
    j = (sums >= 0).sum()
    held = jnp.concatenate([zero, sums])[j]
    following = jnp.concatenate([exponents, jnp.full((1,), -jnp.inf, exponents.dtype)])[j]
    return j.astype(exponents.dtype) + held / jnp.abs(following)


def _summary(
    frames: FrameLog, log_det: Array | None, burn_in: int, qr_interval: int, blocks: int | None
) -> LyapunovSpectrum:
    """Means over time, their errors, and what follows from them."""
    frames = jax.tree.map(lambda a: a[burn_in // qr_interval :], frames)
    intervals = frames.log_r.shape[0]
    if blocks is None:
        blocks = min(max(2, math.isqrt(intervals)), intervals)
    exponents = mean_exponents(frames, qr_interval)
    errors, long_correlations = _standard_errors(frames.log_r / qr_interval, blocks)
    errors = jnp.where(exponents == -jnp.inf, jnp.zeros((), errors.dtype), errors)
    order = jnp.argsort(-exponents)
    return LyapunovSpectrum(
        exponents=exponents[order],
        standard_errors=errors[order],
        mean_log_abs_det=log_det,
        kaplan_yorke_dimension=_dimension(exponents[order]),
        steps=jnp.asarray(intervals * qr_interval, jnp.int32),
        long_correlations=long_correlations[order],
    )


def _standard_errors(logs: Float[Array, "N k"], blocks: int) -> tuple[Float[Array, " k"], Bool[Array, " k"]]:
    """``std(block means) √((1 + r) / (1 - r)) / √blocks``, r the correlation of neighbouring block means.

    Blocks are long, so that their means, unlike the steps, are nearly independent. Where correlations outlast a block,
    r says by how much the sum of all of them exceeds the scatter, as in an autoregressive process of order one; an r
    within its own error ``1/√blocks`` counts as none. Intervals that fill no block are left out, the first ones.

    Returns:
        the standard errors, and whether r is so large that they are lower bounds.
    """
    if blocks < 2:
        return jnp.full(logs.shape[1:], jnp.inf, logs.dtype), jnp.zeros(logs.shape[1:], bool)
    used = logs[-blocks * (logs.shape[0] // blocks) :]
    means = used.reshape(blocks, -1, logs.shape[1]).mean(axis=1)
    centred = means - means.mean(axis=0, keepdims=True)
    variance = jnp.square(centred).mean(axis=0)
    r = (centred[1:] * centred[:-1]).sum(axis=0) / (blocks * jnp.where(variance > 0, variance, 1))
    r = jnp.where(r > blocks**-0.5, jnp.minimum(r, 0.99), 0)  # NaN, of exponents of -inf, counts as none
    errors = means.std(axis=0, ddof=1) / math.sqrt(blocks)
    return errors * jnp.sqrt((1 + r) / (1 - r)), r > LONG_CORRELATION
