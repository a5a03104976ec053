"""What the bound of a quarter on the sigmoid's slope says of a product over layers, and what it does not."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.deep_networks.networks import VARIANTS, Layers, Network
from experiments.deep_networks.recipe import Recipe
from experiments.deep_networks.spirals import ARMS, sample
from rnnlm_jax import jacobians
from rnnlm_jax.array_types import Array
from rnnlm_jax.arrays.activations import sigmoid_slope

#: Layers in the product of the course: 0.25³ = 0.0156.
LAYERS = 3
KINDS = ORTHOGONAL, UNIT_NORM, GLOROT, RESIDUAL = ("orthogonal", "divided by their norm", "Glorot", "residual, Glorot")


def with_weights(kind: str, layers: Layers) -> Layers:
    """Return layers whose matrices are changed to another kind."""
    if kind == ORTHOGONAL:
        return layers._replace(w=jax.vmap(lambda w: jnp.linalg.qr(w)[0])(layers.w))
    if kind == UNIT_NORM:
        return layers._replace(w=layers.w / spectral_norms(layers)[:, None, None])
    return layers


def spectral_norms(layers: Layers) -> Array:
    """Return the largest singular value of the matrix of each layer."""
    return jax.vmap(lambda w: jnp.linalg.svd(w, compute_uv=False)[0])(layers.w)


def product_of(network: Network, kind: str, seed: int) -> dict[str, Array]:
    """Return the figures of ``measure`` for one network at one input; x64 must be on."""
    k_params, k_points = jax.random.split(jax.random.key(seed))
    layers = with_weights(kind, network.init(k_params, "float64").layers)
    x = sample(k_points, 1, network.width).x.astype(jnp.float64)
    architecture, scale = network.architecture, jnp.float64(network.scale)
    before = jnp.concatenate([x, architecture.activations(layers, x, scale)[:-1, 0]])
    slopes = sigmoid_slope(jnp.einsum("ln,lnm->lm", before, layers.w) + layers.b)
    spectrum = jacobians.product_spectrum(architecture.layer_jacobians(layers, x[0], scale))
    values = jnp.exp(spectrum.log_singular_values)
    return {
        "norm": spectral_norms(layers).max(),
        "slopes": slopes.prod(axis=0).max(),
        "largest": values[0],
        "root_mean_square": jnp.sqrt((values**2).mean()),
        "smallest": values[-1],
    }


def measure(recipe: Recipe, *, progress: Callable[[int], object]) -> dict[str, Any]:
    """Return products over three sigmoid layers for each kind of weights, the largest over seeds.

    For each kind: the norm of the matrices; the largest entry of the product of the diagonals ``diag φ'``; of the
    product of Jacobians the largest singular value, the root of the mean square of all, and the smallest (over seeds,
    too).
    """
    rows = {}
    for kind in KINDS:
        variant = VARIANTS["residual" if kind == RESIDUAL else "plain"]
        network = Network("sigmoid", variant, LAYERS, recipe.width, ARMS)
        with jax.enable_x64(True):
            seeds = range(recipe.seed, recipe.seed + recipe.seeds)
            found = [jax.device_get(product_of(network, kind, seed)) for seed in seeds]
        rows[kind] = {name: float(np.max([one[name] for one in found])) for name in found[0]}
        rows[kind]["smallest"] = float(np.min([one["smallest"] for one in found]))
        progress(1)
    return {"recipe": recipe.recorded(), "layers": LAYERS, "bound": 0.25**LAYERS, "weights": rows}
