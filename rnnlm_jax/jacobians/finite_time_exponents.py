"""Finite-time Lyapunov exponents: growth rates over windows of time, whose distribution shows how they vary."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import check_at_least_32_bits, inputs_over_time
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.tangent_frames import check_count, check_time, frames_of_cell, mean_exponents


def finite_time_exponents(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    window: int,
    key: Key,
    count: int | None = None,
    stride: int | None = None,
    burn_in: int = 0,
    qr_interval: int = 1,
) -> Float[Array, "windows k"]:
    """Return the k largest Lyapunov exponents of each window of w steps, in nats per step.

        λ_k(m) = 1/w Σ_t ln|r_kk(t)|,    burn_in + m stride < t <= burn_in + m stride + w

    All windows belong to one run of ``lyapunov_spectrum`` with the same arguments: the frame is carried from each to
    the next. Columns have the order of its exponents, descending in their means over the whole run, so that a column
    is one direction of the dynamics, and values of one window need not descend. If the windows do not overlap and fill
    the steps after burn-in, the mean of a column over windows is the exponent of ``lyapunov_spectrum``; a column whose
    exponent is -inf there is -inf in every window. The values are growth rates of a frame that has aligned with the
    dynamics, not logarithms of singular values of the window's product (for those, see ``spectrum``).

    Deviations from the mean shrink as ``w^-½`` once w exceeds the correlation time, and their variance times w is then
    constant. The cost is that of ``lyapunov_spectrum``, also by the structure of the cell's Jacobian.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched; ``vmap`` for more.
        xs: the inputs of one sequence.
        window: w, the number of steps of a window.
        key: see ``lyapunov_spectrum``.
        count: k, the number of exponents; n by default.
        stride: number of steps from the start of a window to that of the next; w by default, less for windows that
            overlap. Last steps that do not fill a window are left out.
        burn_in: number of leading steps before the first window.
        qr_interval: see ``lyapunov_spectrum``; it must divide ``window``, ``stride`` and ``burn_in``.

    Returns:
        exponents ``[windows, k]``, in the order of time.

    Raises:
        ArgumentError: if ``qr_interval`` does not divide one of the numbers of steps, a number is out of range, or
            inputs or state have batch axes or do not fit the cell.
    """
    check_at_least_32_bits(cell)
    n, xs = state_size(cell), inputs_over_time(cell, state, xs, batched=False)
    count = check_count(n if count is None else count, n)
    steps, stride = xs.shape[0], window if stride is None else stride
    check_time(steps, burn_in=burn_in, qr_interval=qr_interval)
    if not 1 <= window <= steps - burn_in:
        raise ArgumentError(f"`window` must be between 1 and the {steps - burn_in} steps after burn-in, not {window}")
    if stride < 1:
        raise ArgumentError(f"`stride` must be at least 1 step, not {stride}")
    if window % qr_interval or stride % qr_interval:
        raise ArgumentError(f"`qr_interval` {qr_interval} must divide both `window` {window} and `stride` {stride}")
    sizes = burn_in // qr_interval, window // qr_interval, stride // qr_interval
    return _finite_time_exponents(cell, params, state, xs, key=key, count=count, sizes=sizes, qr_interval=qr_interval)


@compiled("cell", "count", "sizes", "qr_interval")
def _finite_time_exponents(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Array,
    *,
    key: Key,
    count: int,
    sizes: tuple[int, int, int],
    qr_interval: int,
) -> Float[Array, "windows k"]:
    """Return the exponents for ``sizes`` of burn-in, window and stride in intervals between QR decompositions."""
    burn_in, window, stride = sizes
    zs = cell.input_projection(params, xs)
    frames = frames_of_cell(cell, params, state, zs, key=key, count=count, qr_interval=qr_interval)
    frames = jax.tree.map(lambda part: part[burn_in:], frames)
    overall = mean_exponents(frames, qr_interval)
    order = jnp.argsort(-overall)[:count]
    logs = jnp.where((overall == -jnp.inf)[None, :], -jnp.inf, frames.log_r)[:, order]
    # Each window is summed by itself: differences of running sums would lose digits.
    zero = np.zeros((), logs.dtype)  # a constant, which makes it a sum to jax, with derivatives in both modes
    sums = jax.lax.reduce_window(logs, zero, jax.lax.add, (window, 1), (stride, 1), "valid")
    return sums / (window * qr_interval)
