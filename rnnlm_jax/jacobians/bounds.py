"""What the weights alone say of the gradient of a simple recurrent network, whatever it reads."""

import math
from typing import NamedTuple

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import on_host

#: The largest slope of each activation, γ: the sigmoid's is 1/4, reached at 0.
LARGEST_SLOPE = {"identity": 1.0, "tanh": 1.0, "relu": 1.0, "sigmoid": 0.25}


class DecayRates(NamedTuple):
    """Nats a step, of a simple recurrent network."""

    log_norm_bound: float
    """``ln(γ σ_max(W_h))``: no gradient changes faster upwards; below 0 it vanishes, whatever the inputs."""
    log_spectral_radius: float
    """``ln ρ(W_h)``: where powers of the recurrent matrix go in the long run."""


def decay_rates(cell: Cell, params: Tree) -> DecayRates | None:
    """``ln(γ σ_max)`` and ``ln ρ`` of an Elman or linear cell (Pascanu et al. 2013, section 2.1), on the host.

    ``‖∂h_i/∂h_j‖ ≤ (γ σ_max)^{i-j}``; ``σ_max < 1/γ`` suffices for the gradient to vanish, ``σ_max > 1/γ`` is necessary
    for it to explode.

    Returns:
        None for a cell that is no simple recurrent network of this library: gates, or an update of one's own, leave
        no bound of this kind.

    Raises:
        UserError: if the recurrent matrix is not finite.
    """
    activation = dict(cell.spec.variant).get("activation")
    if cell.spec.kind != "elman" or not cell.is_of_the_library or activation not in LARGEST_SLOPE:
        return None
    w_h = np.asarray(jax.device_get(on_host(params.w_h, "decay rates are computed")), np.float64)
    if not np.isfinite(w_h).all():
        raise UserError("the recurrent matrix is not finite: it has no bounds")
    gamma, largest = LARGEST_SLOPE[activation], float(np.linalg.svd(w_h, compute_uv=False)[0])
    radius = float(np.abs(np.linalg.eigvals(w_h)).max())
    return DecayRates(_log(gamma * largest), _log(radius))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
