"""Gradient flossing: a regulariser that draws Lyapunov exponents towards zero (Engelken 2023)."""

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.jacobians.arguments import check_at_least_32_bits, inputs_over_time
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.tangent_frames import (
    check_count,
    check_time,
    mean_exponents,
    push_frame,
    random_frame,
    tangent_push,
)


def gradient_flossing(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    count: int,
    key: Key,
    qr_interval: int = 1,
) -> Float[Array, ""]:
    """Return the sum of the squares of the ``count`` largest Lyapunov exponents, to be added to a loss.

        Σ_{k ≤ count} λ_k²,    λ_k = 1/T Σ_t ln|r_kk(t)|

    It is the regulariser of Engelken (2023), which keeps gradients from vanishing and exploding. It is differentiable
    through the QR decompositions, the states and the Jacobians. The exponents are those of T steps from a random
    frame, which has had no time to align with the dynamics: use a new key for each call.

    The cost is O(T·H·n·count), and the gradient needs O(T·n·count) memory: no Jacobian is formed.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched; ``vmap`` for more.
        xs: the inputs, one sequence.
        count: number of exponents; only those above -inf have a gradient.
        key: random key of the first frame.
        qr_interval: steps between QR decompositions, see ``lyapunov_spectrum``.

    Returns:
        a scalar in nats² per step².

    Raises:
        ArgumentError: if ``count`` is out of range, ``qr_interval`` does not divide T, or the inputs have batch axes.
    """
    check_at_least_32_bits(cell)
    xs = inputs_over_time(cell, state, xs, batched=False)
    check_time(xs.shape[0], qr_interval=qr_interval)
    count = check_count(count, state_size(cell))
    return _gradient_flossing(cell, params, state, xs, count=count, key=key, qr_interval=qr_interval)


@compiled("cell", "count", "qr_interval")
def _gradient_flossing(
    cell: Cell, params: Tree, state: Tree, xs: Array, *, count: int, key: Key, qr_interval: int
) -> Float[Array, ""]:
    frame = random_frame(key, state_size(cell), count, cell.spec.param_dtype)
    zs = cell.input_projection(params, xs)
    log = push_frame(tangent_push(cell, params), state, frame, inputs=zs, qr_interval=qr_interval)
    return jnp.square(mean_exponents(log, qr_interval)).sum()


def flossing_of_sequences(
    cell: Cell,
    params: Tree,
    before: Tree,
    *,
    zs: Float[Array, "T B GH"],
    mask: Bool[Array, "T B"],
    frame: Float[Array, "n k"],
) -> Float[Array, " B"]:
    """Return ``Σ_{k} λ_k²`` of each sequence in nats² per step², for states that have been computed.

    It is ``gradient_flossing`` with a QR decomposition at every step, differentiable by parameters, states and
    projected inputs: the gradient of a loss in which these depend on the parameters is complete. Rows are not sorted
    before a decomposition, which takes ten times as long as one of few columns; large exponents need no such care.

    Args:
        cell: a single cell that can be stepped.
        params: its parameters.
        before: the state before each step, leaves ``[T, B, ·]``.
        zs: the projected inputs.
        mask: the steps that count; a sequence without any has exponents of 0.
        frame: orthonormal columns to begin with, the same for all sequences (see ``tangent_frames.random_frame``).
    """
    push = tangent_push(cell, params)

    def of_sequence(before: Tree, zs: Array, mask: Array) -> Array:
        def step(frame: Array, at: tuple[Tree, Array, Array]) -> tuple[Array, Array]:
            state, z, counts = at
            q, r = jnp.linalg.qr(push(state, frame, z)[1])
            log_r = jnp.log(jnp.abs(jnp.diagonal(r)))
            return jnp.where(counts, q, frame), jnp.where(counts, log_r, jnp.zeros((), frame.dtype))

        _, log_r = jax.lax.scan(step, frame, (before, zs, mask))
        steps = jnp.maximum(mask.sum(), 1).astype(log_r.dtype)
        return jnp.square(log_r.sum(axis=0) / steps).sum()

    return jax.vmap(of_sequence, in_axes=1)(before, zs, mask)
