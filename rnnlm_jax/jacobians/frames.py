"""A frame of orthonormal tangents pushed through time: how far each step stretches the volumes it spans."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.power_of_two import power_of_two
from rnnlm_jax.jacobians.state_vector import from_vector, to_vector
from rnnlm_jax.jacobians.step_jacobian import mixing_matrix, structured_jacobian

Push = Callable[[Tree, Array, Array], tuple[Tree, Array]]  # (state, frame [n, k], input) -> (state, J · frame)


class FrameLog(NamedTuple):
    """What each QR decomposition of a frame says."""

    log_r: Float[Array, "N k"]
    """``log|r_kk|`` in nats."""
    rounded: Bool[Array, "N k"]
    """Whether ``r_kk`` is no more than the rounding error of its row."""


def random_frame(key: Key, n: int, count: int, dtype: jnp.dtype) -> Float[Array, "n k"]:
    """Orthonormal columns in uniformly random directions."""
    return jnp.linalg.qr(jax.random.normal(key, (n, count), dtype))[0]


def cell_push(cell: Cell, params: Tree) -> Push:
    """One step of a cell and of a frame of tangents.

    A cell that splits forms its Jacobian, O(n²), and multiplies; another takes each column through its step.
    """
    unravel = from_vector(cell)
    mixing = mixing_matrix(cell, params) if cell.splits else None

    def push(state: Tree, frame: Array, z: Array) -> tuple[Tree, Array]:
        if mixing is not None:
            j = structured_jacobian(cell, params, state, z, mixing)
            return cell.step(params, state, z), jnp.matmul(j, frame, precision="highest")
        after, forward = jax.linearize(lambda s: to_vector(cell.step(params, unravel(s), z)), to_vector(state))
        return unravel(after), jax.vmap(forward, in_axes=1, out_axes=1)(frame)

    return push


def push_frame(push: Push, state: Tree, frame: Float[Array, "n k"], inputs: Array, qr_interval: int) -> FrameLog:
    """Push a frame through all of the inputs, orthonormalised every ``qr_interval`` steps.

    In between it is divided by powers of two, so that it neither over- nor underflows.
    """
    intervals = inputs.reshape(-1, qr_interval, *inputs.shape[1:])

    def interval(carry: tuple[Tree, Array], inputs: Array) -> tuple[tuple[Tree, Array], FrameLog]:
        def step(carry: tuple[Tree, Array, Array], each: Array) -> tuple[tuple[Tree, Array, Array], None]:
            state, frame, exponent = carry
            state, frame = push(state, frame, each)
            scaled = power_of_two(frame)
            return (state, scaled.matrix, exponent + scaled.exponent), None

        (state, frame, exponent), _ = jax.lax.scan(step, (*carry, jnp.zeros((), jnp.int32)), inputs)
        frame, log = orthonormalise(frame)
        log_scale = exponent.astype(frame.dtype) * jnp.log(jnp.full((), 2, frame.dtype))
        return (state, frame), log._replace(log_r=log.log_r + log_scale)

    return jax.lax.scan(interval, (state, frame), intervals)[1]


def orthonormalise(frame: Float[Array, "n k"]) -> tuple[Float[Array, "n k"], FrameLog]:
    """Q of a frame, and what R says.

    Rows are taken by size, the largest first, which keeps what small ones hold (Cox & Higham 1998): a saturated gate
    scales its row far down, and a row of zeros gives an ``r_kk`` of zero.
    """
    n, count = frame.shape
    sizes = jnp.abs(frame).max(axis=1)
    order = jnp.argsort(-sizes)
    q, r = jnp.linalg.qr(frame[order])
    pivots = jnp.abs(jnp.diagonal(r))
    rounded = pivots <= n * jnp.finfo(frame.dtype).eps * sizes[order][:count]
    return q[jnp.argsort(order)], FrameLog(jnp.log(pivots), rounded)


def mean_exponents(log: FrameLog, qr_interval: int) -> Float[Array, " k"]:
    """``mean log|r_kk| / s``, and -inf for the directions of singular Jacobians.

    An ``r_kk`` that is zero makes the mean -inf by itself. Where it is rounding error more often than not, the
    Jacobians are singular too, without a row of zeros; where it rarely is, it is small by chance, and counts as it
    stands.
    """
    means = log.log_r.mean(axis=0) / qr_interval
    return jnp.where(log.rounded.mean(axis=0, dtype=means.dtype) > 0.5, -jnp.inf, means)


def check_count(count: int, n: int) -> int:
    """``count`` itself, if there are as many exponents; a ``UserError`` otherwise."""
    if not 1 <= count <= n:
        raise UserError(f"count must be between 1 and the {n} dimensions of the state, not {count}")
    return count


def check_time(steps: int, burn_in: int, qr_interval: int, blocks: int | None = None) -> None:
    """Check that time can be cut so.

    Raises:
        UserError: if ``qr_interval`` does not divide burn-in and steps, or a number is out of range.
    """
    if not 0 <= burn_in < steps:
        raise UserError(f"burn_in must be at least 0 and below the {steps} steps of the inputs, not {burn_in}")
    if qr_interval < 1:
        raise UserError(f"qr_interval must be at least 1 step, not {qr_interval}")
    if burn_in % qr_interval or steps % qr_interval:
        raise UserError(f"qr_interval {qr_interval} must divide both burn_in {burn_in} and the {steps} steps")
    intervals = (steps - burn_in) // qr_interval
    if blocks is not None and not 2 <= blocks <= intervals:
        raise UserError(f"blocks must be between 2 and the {intervals} intervals between QRs, not {blocks}")
