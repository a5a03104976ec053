"""Gradients by layer and singular values of products of layer Jacobians, at initialisation, in float64."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.deep_networks.mean_field import (
    Moments,
    gradient_factor,
    limiting_factor,
    log_gradient_factors,
)
from experiments.deep_networks.networks import (
    PLAIN,
    RESIDUAL,
    VARIANTS,
    Architecture,
    Network,
    Params,
    moments,
    nll,
    read_out,
)
from experiments.deep_networks.recipe import Recipe
from experiments.deep_networks.spirals import ARMS, Points, sample
from rnnlm_jax import jacobians
from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.compilation import jit
from rnnlm_jax.jacobians import ProductSpectrum
from rnnlm_jax.jacobians.mean_field import NONLINEARITIES, decay_length, fixed_variance


class Gradients(NamedTuple):
    """Natural logarithms of gradient norms."""

    activations: Float[Array, "L+1"]
    """Of the loss of one point with respect to ``h_0`` to ``h_L``, the root of the mean square over points."""
    weights: Float[Array, " L"]
    """Of the mean loss with respect to the matrix of each layer; of a highway layer, both its matrices together."""


def log_gradients(architecture: Architecture, params: Params, points: Points, scale: Float[Array, ""]) -> Gradients:
    """Return the norms of the gradient of the cross-entropy, layer by layer."""
    depth, width = params.layers.b.shape
    count = points.label.shape[0]
    added = jnp.zeros((depth, count, width), points.x.dtype)

    def loss(weights: tuple[Array, Array | None], x: Array, added: Array) -> Array:
        layers = params.layers._replace(w=weights[0], gate_w=weights[1])
        last = architecture.activations(layers, x, scale, added)[-1]
        return nll(read_out(params, last), points.label).sum()

    weights = (params.layers.w, params.layers.gate_w)
    of_weights, of_x, of_added = jax.grad(loss, argnums=(0, 1, 2))(weights, points.x, added)
    of_activations = jnp.concatenate([of_x[None], of_added])
    each_layer = [leaf.reshape(depth, -1) for leaf in jax.tree.leaves(of_weights)]
    return Gradients(
        jax.vmap(log_norm)(of_activations) - 0.5 * math.log(count),
        jax.vmap(log_norm)(jnp.concatenate(each_layer, axis=1)) - math.log(count),
    )


def log_norm(x: Array) -> Float[Array, ""]:
    """Return ``ln ‖x‖`` over all entries, also where their squares underflow; -inf for zeros."""
    largest = jnp.abs(x).max()
    scaled = x / jnp.where(largest > 0, largest, 1)
    return jnp.log(largest) + 0.5 * jnp.log((scaled**2).sum())


class Measured(NamedTuple):
    """One network at initialisation."""

    gradients: Gradients
    spectra: ProductSpectrum
    """Of ``∂h_ℓ / ∂h_0`` at one input, for each of the depths ℓ of the recipe."""


@functools.partial(jit, static_argnums=0)
def gradients_and_jacobians(
    architecture: Architecture, params: Params, points: Points, scale: Float[Array, ""]
) -> tuple[Gradients, Float[Array, "L N N"]]:
    """Return the gradients of a network, and the Jacobians of its layers at the first of the points."""
    jacobians_of_layers = architecture.layer_jacobians(params.layers, points.x[0], scale)
    return log_gradients(architecture, params, points, scale), jacobians_of_layers


def measure_network(network: Network, recipe: Recipe, seed: int) -> tuple[Measured, Moments]:
    """Return one network at initialisation, and the moments of its inputs; x64 must be on."""
    k_params, k_points = jax.random.split(jax.random.key(seed))
    params = network.init(k_params, "float64")
    points = sample(k_points, recipe.initial_points, recipe.width)
    points = points._replace(x=points.x.astype(jnp.float64))
    scale = jnp.float64(network.scale)
    gradients, factors = gradients_and_jacobians(network.architecture, params, points, scale)
    measured = Measured(gradients, jacobians.product_spectrum(factors, lags=recipe.depths))
    return jax.device_get(measured), moments(points.x)


def measure(activation: str, variant: str, recipe: Recipe, *, progress: Callable[[int], object]) -> dict[str, Any]:
    """Return gradients, singular values and the theory for the deepest network of the recipe.

    Args:
        activation: name of an activation function.
        variant: name of a variant.
        recipe: sizes.
        progress: called with the number of networks measured since its last call.
    """
    network = Network(activation, VARIANTS[variant], recipe.depths[-1], recipe.width, ARMS)
    found: list[Measured] = []
    inputs: list[Moments] = []
    with jax.enable_x64(True):
        for seed in range(recipe.seed, recipe.seed + recipe.seeds):
            measured, of_inputs = measure_network(network, recipe, seed)
            found.append(measured)
            inputs.append(of_inputs)
            progress(1)
    start = Moments(*np.mean(inputs, axis=0).tolist())
    theory = log_gradient_factors(network.layer_map(), start, network.depth)
    logs = [np.asarray(measured.spectra.log_singular_values) for measured in found]
    errors = np.stack([measured.spectra.error for measured in found])
    return {
        "activation": activation,
        "variant": variant,
        "recipe": recipe.recorded(),
        "weight_variance": network.weight_variance,
        "log_gradient_of_activations": mean_over(found, lambda m: m.gradients.activations),
        "log_gradient_of_weights": mean_over(found, lambda m: m.gradients.weights),
        "largest_log_singular_value": rounded(np.mean([values[:, 0] for values in logs], axis=0)),
        "root_mean_square_log_singular_value": rounded(np.mean([log_rms(values) for values in logs], axis=0)),
        "log_singular_values": [rounded(row) for row in logs[0]],
        "largest_error": float(errors.max()) if np.isfinite(errors).all() else None,
        "untrusted": int(sum((~measured.spectra.trusted).sum() for measured in found)),
        "theory_log_factors": rounded(theory),
        "limiting_factor": limit_of(network),
        "depth_scale": scale_of(network),
    }


def mean_over(found: list[Measured], part: Callable[[Measured], Array]) -> list[float | None]:
    """Return the mean over networks of a vector of logarithms."""
    return rounded(np.mean([np.asarray(part(measured)) for measured in found], axis=0))


def rounded(values: np.ndarray) -> list[float | None]:
    """Return numbers for JSON, with 6 digits; None for a logarithm of zero, which JSON does not have."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]


def log_rms(log_values: np.ndarray) -> np.ndarray:
    """Return ``½ ln mean σ²`` of the last axis, which is ``ln(‖J‖_F / √n)``."""
    return 0.5 * (np.logaddexp.reduce(2 * log_values, axis=-1) - np.log(log_values.shape[-1]))


def limit_of(network: Network) -> float | None:
    """Return the χ that the layers come to with depth by mean-field theory; None where none is reached.

    In closed form, but for the quadrature, for plain layers (at q*), and for relu in a residual network. A branch
    divided by √L has no limit at a fixed depth.
    """
    activation = NONLINEARITIES[network.activation]
    variance, variant = network.weight_variance, network.variant
    if variant.connection == PLAIN:
        return gradient_factor(activation, fixed_variance(activation, variance), variance)
    if variant.scaled or (variant.connection == RESIDUAL and network.activation != "relu"):
        return None
    return limiting_factor(network.layer_map(), moments(np.ones((1, 1))))


def scale_of(network: Network) -> float | None:
    """Return the depth scale of squared gradients in layers; None where there is none, or it is infinite."""
    limit = limit_of(network)
    scale = decay_length(limit) if limit is not None else None
    return scale if scale is not None and np.isfinite(scale) else None
