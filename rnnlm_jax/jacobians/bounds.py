"""Bounds on gradients of a simple recurrent network from its weights alone, whatever the inputs."""

import math
from typing import NamedTuple

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import on_host


class DecayRates(NamedTuple):
    """Rates of a simple recurrent network, in nats a step."""

    log_norm_bound: float
    """``ln(γ σ_max(W_h))``: no gradient grows faster; below 0 it vanishes, whatever the inputs."""
    log_spectral_radius: float
    """``ln ρ(W_h)``: growth rate of powers of the recurrent matrix in the long run."""


def decay_rates(cell: Cell, params: Tree) -> DecayRates | None:
    """Return ``ln(γ σ_max)`` and ``ln ρ`` of a simple recurrent network, computed on the host.

    ``‖∂h_i/∂h_j‖ ≤ (γ σ_max)^{i-j}``; ``σ_max < 1/γ`` suffices for the gradient to vanish, ``σ_max > 1/γ`` is necessary
    for it to explode (Pascanu et al. 2013, section 2.1).

    Args:
        cell: the cell.
        params: its parameters.

    Returns:
        None for a cell that does not declare ``largest_slope``, γ: gates leave no bound of this kind.

    Raises:
        ArgumentError: if the recurrent matrix is not finite.
    """
    gamma = cell.facts.largest_slope
    if gamma is None:
        return None
    w_h = np.asarray(jax.device_get(on_host(params.w_h, "decay rates are computed")), np.float64)
    if not np.isfinite(w_h).all():
        raise ArgumentError("the recurrent matrix is not finite: it has no bounds")
    largest = float(np.linalg.svd(w_h, compute_uv=False)[0])
    radius = float(np.abs(np.linalg.eigvals(w_h)).max())
    return DecayRates(_log(gamma * largest), _log(radius))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
