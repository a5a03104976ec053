"""Orthonormal frames of tangent vectors, pushed through time and orthonormalised by QR, for Lyapunov exponents."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Key, Tree
from rnnlm_jax.arrays.power_of_two import scale_by_power_of_two
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_jacobian import jacobian_blocks, recurrent_projection_matrix, structured_jacobian
from rnnlm_jax.cells.state_vector import from_vector, state_size, to_vector
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.declared_blocks import declared_blocks
from rnnlm_jax.jacobians.log_determinant import LogSlopes, log_slopes
from rnnlm_jax.jacobians.trajectory import trajectory


class Push(Protocol):
    """One step of a state, and of a frame of tangent vectors at it."""

    def __call__(self, state: Tree, frame: Float[Array, "n k"], inputs: Array, /) -> tuple[Tree, Float[Array, "n k"]]:
        """Return the next state and ``J · frame``, J the Jacobian of the step.

        Args:
            state: the state before the step.
            frame: tangent vectors in its columns.
            inputs: what else the step depends on: a projected input, or J itself.
        """
        ...


class FrameLog(NamedTuple):
    """The diagonals of R of N successive QR decompositions of a frame; of one, without a leading axis."""

    log_r: Float[Array, "*N k"]
    """``ln|r_kk|`` in nats."""
    rounded: Bool[Array, "*N k"]
    """Whether ``r_kk`` is not above the rounding error of its row."""


def random_frame(key: Key, n: int, count: int, dtype: jnp.dtype) -> Float[Array, "n k"]:
    """Return ``count`` orthonormal columns in uniformly random directions."""
    return jnp.linalg.qr(jax.random.normal(key, (n, count), dtype))[0]


def cell_push(cell: Cell, params: Tree) -> Push:
    """Return the ``Push`` of a cell.

    Where the cell splits, its Jacobian is formed, O(n²), and multiplied; otherwise each column is pushed through the
    step as a tangent.
    """
    if not cell.splits:
        return tangent_push(cell, params)
    matrix = recurrent_projection_matrix(cell, params)

    def push(state: Tree, frame: Array, z: Array) -> tuple[Tree, Array]:
        j = structured_jacobian(cell, params, state, z, recurrent_matrix=matrix)
        return cell.step(params, state, z), jnp.matmul(j, frame, precision="highest")

    return push


def tangent_push(cell: Cell, params: Tree) -> Push:
    """Return the ``Push`` of a cell that forms no Jacobian: columns are tangents of the step, O(H·n) each.

    For a gradient through time it stores O(n k) numbers a step, where ``cell_push`` stores O(n²).
    """
    unravel = from_vector(cell)

    def push(state: Tree, frame: Array, z: Array) -> tuple[Tree, Array]:
        after, jvp = jax.linearize(lambda s: to_vector(cell.step(params, unravel(s), z)), to_vector(state))
        return unravel(after), jax.vmap(jvp, in_axes=1, out_axes=1)(frame)

    return push


def push_frame(push: Push, state: Tree, frame: Float[Array, "n k"], *, inputs: Array, qr_interval: int) -> FrameLog:
    """Push a frame along all inputs ``[T, ...]``, with a QR decomposition every ``qr_interval`` steps.

    In between, the frame is divided by powers of two, so that it neither overflows nor underflows.
    """
    intervals = inputs.reshape(inputs.shape[0] // qr_interval, qr_interval, *inputs.shape[1:])  # of any size, 0 too

    def interval(carry: tuple[Tree, Array], inputs: Array) -> tuple[tuple[Tree, Array], FrameLog]:
        def step(carry: tuple[Tree, Array, Array], each: Array) -> tuple[tuple[Tree, Array, Array], None]:
            state, frame, exponent = carry
            state, frame = push(state, frame, each)
            scaled = scale_by_power_of_two(frame)
            return (state, scaled.matrix, exponent + scaled.exponent), None

        (state, frame, exponent), _ = jax.lax.scan(step, (*carry, jnp.zeros((), jnp.int32)), inputs)
        frame, log = orthonormalise(frame)
        log_scale = exponent.astype(frame.dtype) * jnp.log(jnp.full((), 2, frame.dtype))
        return (state, frame), log._replace(log_r=log.log_r + log_scale)

    return jax.lax.scan(interval, (state, frame), intervals)[1]


def frames_of_cell(
    cell: Cell, params: Tree, state: Tree, zs: Float[Array, "T GH"], *, key: Key, count: int, qr_interval: int
) -> FrameLog:
    """Push a random frame along a cell's steps, by the structure of its Jacobian (see ``lyapunov_spectrum``).

    Returns:
        ``count`` columns; all n for a cell that declares a diagonal Jacobian or blocks, in no particular order.
    """
    blocks = declared_blocks(cell)
    if blocks is None:
        frame = random_frame(key, state_size(cell), count, cell.spec.param_dtype)
        return push_frame(cell_push(cell, params), state, frame, inputs=zs, qr_interval=qr_interval)
    before = trajectory(cell, params, state, zs).before
    if blocks.size == 1:
        return frames_of_slopes(log_slopes(cell, params, before, zs), qr_interval)
    return frames_of_blocks(jacobian_blocks(cell, params, before, zs), key, qr_interval)


def frames_of_matrices(matrices: Float[Array, "T n n"], frame: Float[Array, "n k"], qr_interval: int) -> FrameLog:
    """Push a frame along given Jacobians of any magnitude, see ``push_frame``."""

    def push(state: None, frame: Array, j: Array) -> tuple[None, Array]:
        return state, jnp.matmul(j, frame, precision="highest")

    scaled = scale_by_power_of_two(matrices)
    frames = push_frame(push, None, frame, inputs=scaled.matrix, qr_interval=qr_interval)
    exponents = scaled.exponent.reshape(-1, qr_interval).sum(axis=1, dtype=jnp.int32).astype(matrices.dtype)
    log_scales = exponents * jnp.log(jnp.full((), 2, matrices.dtype))
    return frames._replace(log_r=frames.log_r + log_scales[:, None])


def frames_of_blocks(blocks: Float[Array, "T N m m"], key: Key, qr_interval: int) -> FrameLog:
    """Push a full frame of each block along its Jacobians: all n = N m columns, those of one block side by side."""
    _, count, size, _ = blocks.shape
    first = jax.vmap(lambda key: random_frame(key, size, size, blocks.dtype))(jax.random.split(key, count))
    of_block = jax.vmap(lambda matrices, frame: frames_of_matrices(matrices, frame, qr_interval), (1, 0), 1)
    return jax.tree.map(lambda part: part.reshape(-1, count * size), of_block(blocks, first))


def frames_of_slopes(slopes: LogSlopes, qr_interval: int) -> FrameLog:
    """Return what frames along the axes give for diagonal Jacobians, in which every column keeps its direction."""
    logs = slopes.logs.reshape(-1, qr_interval, slopes.logs.shape[-1]).sum(axis=1)
    return FrameLog(logs, jnp.zeros(logs.shape, bool))


def orthonormalise(frame: Float[Array, "n k"]) -> tuple[Float[Array, "n k"], FrameLog]:
    """Return Q of the QR decomposition of a frame, and the diagonal of R (see ``decompose``)."""
    q, r, rounded = decompose(frame)
    return q, FrameLog(jnp.log(jnp.abs(jnp.diagonal(r))), rounded)


def decompose(frame: Float[Array, "n k"]) -> tuple[Float[Array, "n k"], Float[Array, "k k"], Bool[Array, " k"]]:
    """Return Q and R of the QR decomposition of a frame, and whether ``r_kk`` is not above its rounding error.

    Rows are sorted by size, the largest first, which keeps the relative accuracy of small rows (Cox & Higham 1998): a
    saturated gate makes its row very small. A row of zeros gives an ``r_kk`` of zero.
    """
    n, count = frame.shape
    sizes = jnp.abs(frame).max(axis=1)
    order = jnp.argsort(-sizes)
    q, r = jnp.linalg.qr(frame[order])
    rounded = jnp.abs(jnp.diagonal(r)) <= n * jnp.finfo(frame.dtype).eps * sizes[order][:count]
    return q[jnp.argsort(order)], r, rounded


def mean_exponents(log: FrameLog, qr_interval: int) -> Float[Array, " k"]:
    """Return ``mean(ln|r_kk|) / s`` with s = ``qr_interval``: nats per step, -inf for the null directions of Jacobians.

    An ``r_kk`` of zero makes the mean -inf by itself. If it is rounding error in more than half of the decompositions,
    the Jacobians are taken to be singular too. If it rarely is, it is small by chance and enters the mean as computed.
    """
    means = log.log_r.mean(axis=0) / qr_interval
    return jnp.where(log.rounded.mean(axis=0, dtype=means.dtype) > 0.5, -jnp.inf, means)


def check_count(count: int, n: int) -> int:
    """Return ``count`` after checking that it is a number of exponents.

    Raises:
        ArgumentError: unless ``1 <= count <= n``.
    """
    if not 1 <= count <= n:
        raise ArgumentError(f"`count` must be between 1 and the {n} dimensions of the state, not {count}")
    return count


def check_time(steps: int, *, burn_in: int = 0, qr_interval: int, blocks: int | None = None) -> None:
    """Check that a sequence can be divided into burn-in, intervals between QR decompositions, and blocks.

    Raises:
        ArgumentError: if ``qr_interval`` does not divide burn-in and steps, or a number is out of range.
    """
    if not 0 <= burn_in < steps:
        raise ArgumentError(f"`burn_in` must be at least 0 and below the {steps} steps of the inputs, not {burn_in}")
    if qr_interval < 1:
        raise ArgumentError(f"`qr_interval` must be at least 1 step, not {qr_interval}")
    if burn_in % qr_interval or steps % qr_interval:
        raise ArgumentError(f"`qr_interval` {qr_interval} must divide both `burn_in` {burn_in} and the {steps} steps")
    intervals = (steps - burn_in) // qr_interval
    if blocks is not None and not 2 <= blocks <= intervals:
        raise ArgumentError(f"`blocks` must be between 2 and the {intervals} intervals between QRs, not {blocks}")
