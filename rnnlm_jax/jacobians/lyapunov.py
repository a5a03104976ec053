"""Lyapunov exponents: asymptotic growth rates, in nats per step, of tangent volumes along a sequence.

A random orthonormal frame is pushed forward by the Jacobians and orthonormalised by QR decompositions; the mean of
``ln|r_kk|`` is the k-th exponent (Benettin et al. 1980; for recurrent networks Engelken, Wolf & Abbott 2023). At a
finite lag they are not the logarithms of singular values divided by the lag (for those, see ``spectrum``).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import (
    check_at_least_32_bits,
    floating,
    inputs_over_time,
    real_array,
    result_dtype,
    square_matrices,
)
from rnnlm_jax.jacobians.arithmetic.log_abs_det import log_abs_det
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.log_determinant import has_closed_form, step_log_abs_det
from rnnlm_jax.jacobians.tangent_frames import (
    FrameLog,
    check_count,
    check_time,
    frames_of_cell,
    frames_of_matrices,
    mean_exponents,
    random_frame,
)
from rnnlm_jax.jacobians.trajectory import trajectory

#: If the means of neighbouring blocks of time are correlated more than this, the blocks are too short.
LONG_CORRELATION = 0.65


class LyapunovSpectrum(NamedTuple):
    """Lyapunov exponents in nats per step, their standard errors, and quantities that follow from them."""

    exponents: Float[Array, " k"]
    """Descending; -inf for directions that singular Jacobians map to zero (see ``tangent_frames.mean_exponents``)."""
    standard_errors: Float[Array, " k"]
    """Standard errors of the means over time, from the scatter of block means and the correlation of neighbouring ones;
    0 for an exponent of -inf, inf for fewer than two blocks."""
    mean_log_abs_det: Float[Array, ""] | None
    """Mean over time of ``ln|det J_t|``, computed independently of the exponents; the sum of all n exponents must equal
    it. None if fewer than n exponents are computed and the cell has no closed form for it."""
    kaplan_yorke_dimension: Float[Array, ""]
    """See ``kaplan_yorke_dimension``; a lower bound if it equals the number k < n of exponents."""
    steps: Int[Array, ""]
    """Number of steps in the means, without burn-in."""
    long_correlations: Bool[Array, " k"]
    """Whether correlations are so much longer than a block that the standard error is a lower bound: use more steps or
    fewer blocks."""


def lyapunov_spectrum(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    key: Key,
    count: int | None = None,
    burn_in: int = 0,
    qr_interval: int = 1,
    blocks: int | None = None,
) -> LyapunovSpectrum:
    """Return the k largest Lyapunov exponents of a cell driven by inputs, for its full state.

        λ_k = 1/(T - burn_in) Σ_t ln|r_kk(t)|,    J_t ⋯ J_{t-s+1} Q_{t-s} = Q_t R_t

    For a cell that splits, each Jacobian is formed, O(n²), and multiplied into the frame, O(n² k) a step; for any other
    cell, each column of the frame is pushed through the step as a tangent. A QR decomposition costs O(n k²).

    A cell may declare the structure of its Jacobian (``facts.jacobian``). The exponents of a diagonal one are the means
    of ``ln|entry|``, O(n) a step. Those of N blocks of m numbers are computed for each block, with a frame of its own,
    O(N m³) a step, storing N m² numbers for every step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched; ``vmap`` for more.
        xs: the inputs of one sequence; zeros for the autonomous dynamics.
        key: random key of the first frame, on which the exponents of long sequences do not depend; those of a diagonal
            Jacobian never do.
        count: k, the number of exponents; n by default.
        burn_in: number of leading steps, of state and frame together, that the means leave out.
        qr_interval: s, the number of steps between QR decompositions. In between, all columns turn towards the
            leading direction, and what distinguishes column k shrinks by ``s (λ_1 - λ_k)`` nats relative to it. Keep
            that well below 36 in float64 and 16 in float32; beyond, ``r_kk`` is rounding error and taken for zero,
            which gives an exponent of -inf.
        blocks: number of blocks of time for the standard errors; by default about the square root of the number of
            intervals between QR decompositions.

    Raises:
        ArgumentError: if ``qr_interval`` does not divide ``burn_in`` and the steps after it, a number is out of
            range, or inputs or state have batch axes or do not fit the cell.
    """
    check_at_least_32_bits(cell)
    n, xs = state_size(cell), inputs_over_time(cell, state, xs, batched=False)
    count = check_count(n if count is None else count, n)
    check_time(xs.shape[0], burn_in=burn_in, qr_interval=qr_interval, blocks=blocks)
    averaging = _Averaging(burn_in, qr_interval, blocks)
    return _lyapunov_spectrum(cell, params, state, xs, key=key, count=count, averaging=averaging)


class _Averaging(NamedTuple):
    """How time is divided for the means and their errors, see ``lyapunov_spectrum``."""

    burn_in: int
    qr_interval: int
    blocks: int | None


@compiled("cell", "count", "averaging")
def _lyapunov_spectrum(
    cell: Cell, params: Tree, state: Tree, xs: Array, *, key: Key, count: int, averaging: _Averaging
) -> LyapunovSpectrum:
    n, zs = state_size(cell), cell.input_projection(params, xs)
    frames = frames_of_cell(cell, params, state, zs, key=key, count=count, qr_interval=averaging.qr_interval)
    log_det = None
    if has_closed_form(cell) or count == n:
        kept = jax.tree.map(lambda a: a[averaging.burn_in :], (trajectory(cell, params, state, zs).before, zs))
        log_det = step_log_abs_det(cell, params, *kept).mean()
    return _summary(frames, log_det, averaging, count)


def lyapunov_of_matrices(
    matrices: ArrayLike,
    *,
    key: Key,
    count: int | None = None,
    burn_in: int = 0,
    qr_interval: int = 1,
    blocks: int | None = None,
) -> LyapunovSpectrum:
    """Return the k largest Lyapunov exponents of a product ``… J_1 J_0`` of given matrices.

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any dtype, ``J_0`` applied first.
        key: random key of the first frame.
        count: see ``lyapunov_spectrum``.
        burn_in: see ``lyapunov_spectrum``.
        qr_interval: see ``lyapunov_spectrum``.
        blocks: see ``lyapunov_spectrum``.

    Returns:
        exponents computed and returned in the matrices' dtype; float32 for narrower dtypes, jax's default for integers
        and booleans.

    Raises:
        ArgumentError: if the matrices are not square, not real, or have batch axes; see also ``lyapunov_spectrum``.
    """
    matrices = square_matrices(matrices)
    matrices = jnp.asarray(matrices, result_dtype(matrices.dtype))
    steps, n, _ = matrices.shape
    count = check_count(n if count is None else count, n)
    check_time(steps, burn_in=burn_in, qr_interval=qr_interval, blocks=blocks)
    return _lyapunov_of_matrices(matrices, key, count=count, averaging=_Averaging(burn_in, qr_interval, blocks))


@compiled("count", "averaging")
def _lyapunov_of_matrices(matrices: Array, key: Key, *, count: int, averaging: _Averaging) -> LyapunovSpectrum:
    n = matrices.shape[1]
    frames = frames_of_matrices(matrices, random_frame(key, n, count, matrices.dtype), averaging.qr_interval)
    log_det = jax.lax.map(log_abs_det, matrices[averaging.burn_in :]).mean() if count == n else None
    return _summary(frames, log_det, averaging, count)


def kaplan_yorke_dimension(exponents: ArrayLike) -> Float[Array, ""]:
    """Return the dimension of the attractor by Kaplan and Yorke (1979), ``j + (λ_1 + … + λ_j) / |λ_{j+1}|``.

    j is the largest number of leading exponents whose sum is not negative. It is 0 if λ_1 < 0; if the sum of all k is
    not negative, the dimension is k.

    Args:
        exponents: Lyapunov exponents ``[k]``, descending.

    Raises:
        ArgumentError: unless they are one vector.
    """
    exponents = real_array(exponents, "exponents")
    if exponents.ndim != 1 or not exponents.size:
        raise ArgumentError(f"`exponents` must be one vector [k], not of shape {exponents.shape}: vmap over batch axes")
    return _dimension(floating(exponents, result_dtype(exponents.dtype)))


@compiled()
def _dimension(exponents: Array) -> Array:
    zero, sums = jnp.zeros((1,), exponents.dtype), jnp.cumsum(exponents)
    j = (sums >= 0).sum()
    sum_of_leading = jnp.concatenate([zero, sums])[j]
    following = jnp.concatenate([exponents, jnp.full((1,), -jnp.inf, exponents.dtype)])[j]
    return j.astype(exponents.dtype) + sum_of_leading / jnp.abs(following)


def _summary(frames: FrameLog, log_det: Array | None, averaging: _Averaging, count: int) -> LyapunovSpectrum:
    """Compute the means over time, their errors, and what follows from them, for the ``count`` largest exponents."""
    burn_in, qr_interval, blocks = averaging
    frames = jax.tree.map(lambda a: a[burn_in // qr_interval :], frames)
    intervals = frames.log_r.shape[0]
    if blocks is None:
        blocks = min(max(2, math.isqrt(intervals)), intervals)
    exponents = mean_exponents(frames, qr_interval)
    errors, long_correlations = _standard_errors(frames.log_r / qr_interval, blocks)
    errors = jnp.where(exponents == -jnp.inf, jnp.zeros((), errors.dtype), errors)
    order = jnp.argsort(-exponents)[:count]
    return LyapunovSpectrum(
        exponents=exponents[order],
        standard_errors=errors[order],
        mean_log_abs_det=log_det,
        kaplan_yorke_dimension=_dimension(exponents[order]),
        steps=jnp.asarray(intervals * qr_interval, jnp.int32),
        long_correlations=long_correlations[order],
    )


def _standard_errors(logs: Float[Array, "N k"], blocks: int) -> tuple[Float[Array, " k"], Bool[Array, " k"]]:
    """Return ``std(block means) √((1 + r) / (1 - r)) / √blocks``, r the correlation of neighbouring block means.

    Blocks are long, so that their means, unlike the values of single steps, are nearly independent. Where correlations
    are longer than a block, the factor with r corrects for them as in an autoregressive process of order one; an r
    below its own error ``1/√blocks`` is taken for 0. The first intervals, which do not fill a block, are left out.

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
    r = jnp.where(r > blocks**-0.5, jnp.minimum(r, 0.99), 0)  # NaN, for exponents of -inf, becomes 0
    errors = means.std(axis=0, ddof=1) / math.sqrt(blocks)
    return errors * jnp.sqrt((1 + r) / (1 - r)), r > LONG_CORRELATION
