"""Exponents of a system without inputs, the mean over many starts, with standard errors found in two ways."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Float, Tree
from rnnlm_jax.cells import Cell
from rnnlm_jax.compilation import jit
from rnnlm_jax.jacobians import lyapunov_spectrum


class Exponents(NamedTuple):
    """The largest exponents, in nats a unit of time."""

    mean: Float[np.ndarray, " k"]
    between_starts: Float[np.ndarray, " k"]
    """Standard error of the mean, from the scatter of the starts, which are independent."""
    within_starts: Float[np.ndarray, " k"]
    """The same, from the standard errors that ``lyapunov_spectrum`` gives for each start."""
    sum_of_determinants: float | None
    """The mean logarithm of the determinant, the sum of all exponents; None if they are not all measured."""
    time: float
    """Units of time in the means, over all starts."""

    def as_record(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self._asdict().items()
        }


def measure(
    cell: Cell, params: Tree, starts: Tree, *, steps: int, burn_in: int, time_step: float, qr_interval: int, count: int
) -> Exponents:
    """Measure exponents along one trajectory from each start.

    Args:
        cell: the system, a cell of ``jacobians.from_step`` that reads no input.
        params: its parameters.
        starts: states, leaves ``[P, ·]``.
        steps: steps of each trajectory in the means.
        burn_in: steps before them.
        time_step: units of time in a step.
        qr_interval: steps between QR decompositions.
        count: k, the number of exponents.
    """
    xs = jnp.zeros((burn_in + steps, 0))

    @jit
    def from_all(params: Tree, starts: Tree) -> Any:
        def one(start: Tree) -> Any:
            options = {"count": count, "burn_in": burn_in, "qr_interval": qr_interval}
            return lyapunov_spectrum(cell, params, start, xs, key=jax.random.key(0), **options)

        return jax.vmap(one)(starts)

    found = jax.device_get(from_all(params, starts))
    trajectories = len(found.exponents)
    log_det = found.mean_log_abs_det
    return Exponents(
        mean=found.exponents.mean(axis=0) / time_step,
        between_starts=found.exponents.std(axis=0, ddof=1) / math.sqrt(trajectories) / time_step,
        within_starts=np.sqrt(np.square(found.standard_errors).mean(axis=0) / trajectories) / time_step,
        sum_of_determinants=None if log_det is None else float(log_det.mean()) / time_step,
        time=steps * time_step * trajectories,
    )
