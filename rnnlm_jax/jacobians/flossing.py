"""Gradient flossing: draw Lyapunov exponents towards zero, so that gradients neither vanish nor explode."""

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.jacobians.arguments import check_factored, inputs_over_time
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.frames import cell_push, check_count, check_time, mean_exponents, push_frame, random_frame
from rnnlm_jax.jacobians.state_vector import state_size


def gradient_flossing(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T D"], count: int, *, key: Key, qr_interval: int = 1
) -> Float[Array, ""]:
    """The sum of the squares of the ``count`` largest Lyapunov exponents (Engelken 2023), to be added to a loss.

        Σ_{k ≤ count} λ_k²,    λ_k = 1/T Σ_t log|r_kk(t)|

    It is differentiable through the QR decompositions, the states and the Jacobians. Exponents of a window of T steps,
    from a frame that has had no time to align, are those of random directions: draw a new key each time.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched; ``vmap`` for more.
        xs: the inputs, one sequence.
        count: how many exponents; only those above -inf have a gradient.
        key: of the first frame.
        qr_interval: steps between two QR decompositions, see ``lyapunov_spectrum``.

    Returns:
        nats² per step².

    Raises:
        UserError: if ``count`` is out of range, ``qr_interval`` does not divide T, or the inputs have batch axes.
    """
    check_factored(cell)
    xs = inputs_over_time(cell, state, xs, batched=False)
    check_time(xs.shape[0], 0, qr_interval)
    return _flossing(cell, params, state, xs, check_count(count, state_size(cell)), key, qr_interval)


@compiled("cell", "count", "qr_interval")
def _flossing(
    cell: Cell, params: Tree, state: Tree, xs: Array, count: int, key: Key, qr_interval: int
) -> Float[Array, ""]:
    frame = random_frame(key, state_size(cell), count, cell.spec.param_dtype)
    log = push_frame(cell_push(cell, params), state, frame, cell.input_projection(params, xs), qr_interval)
    return jnp.square(mean_exponents(log, qr_interval)).sum()
