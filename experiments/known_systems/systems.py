"""The Hénon map and the Lorenz system as plain steps ``(params, state, x) -> state``, with what is known of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key, Tree

Step = Callable[[Tree, Tree, Any], Tree]


@dataclass(frozen=True)
class System:
    """A system without inputs, and its known exponents, in nats a unit of time."""

    name: str
    step: Step
    params: tuple[float, ...]
    starts: Callable[[Key, int], Float[Array, "P n"]]
    """Draws states from which the system comes to its attractor."""
    time_step: float
    """Units of time in a step; 1 for a map."""
    published: tuple[float, ...]
    """Exponents, descending."""
    sum_of_exponents: float
    """Exact: the logarithm of the determinant, or the divergence of the flow, which is the same in every state."""
    qr_interval: int
    """Steps between two QR decompositions."""


def henon_step(params: tuple[float, ...], state: Float[Array, "2"], x: object) -> Float[Array, "2"]:
    """Return ``(1 - a u² + v, b u)`` (Hénon 1976)."""
    a, b = params
    u, v = state
    return jnp.stack([1 - a * u * u + v, b * u])


def lorenz_step(params: tuple[float, ...], state: Float[Array, "3"], x: object) -> Float[Array, "3"]:
    """Return the state of the Lorenz system after a time step, by the classical Runge-Kutta method of order four."""
    *constants, dt = params
    k1 = lorenz_flow(constants, state)
    k2 = lorenz_flow(constants, state + dt / 2 * k1)
    k3 = lorenz_flow(constants, state + dt / 2 * k2)
    k4 = lorenz_flow(constants, state + dt * k3)
    return state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def lorenz_flow(constants: list[float], state: Float[Array, "3"]) -> Float[Array, "3"]:
    """Return ``(σ (v - u), u (ρ - w) - v, u v - β w)`` (Lorenz 1963)."""
    sigma, rho, beta = constants
    u, v, w = state
    return jnp.stack([sigma * (v - u), u * (rho - w) - v, u * v - beta * w])


def henon() -> System:
    """Return the Hénon map at a = 1.4, b = 0.3."""

    def starts(key: Key, count: int) -> Array:
        return jax.random.uniform(key, (count, 2), "float64", -0.1, 0.1)

    return System("Hénon map", henon_step, (1.4, 0.3), starts, 1.0, (0.4192, -1.6229), math.log(0.3), 5)


def lorenz(time_step: float) -> System:
    """Return the Lorenz system at σ = 10, ρ = 28, β = 8/3."""

    def starts(key: Key, count: int) -> Array:
        return jax.random.normal(key, (count, 3), "float64") * 8 + jnp.asarray([[0.0, 0.0, 24.0]])

    params = (10.0, 28.0, 8 / 3, time_step)
    return System(
        "Lorenz system", lorenz_step, params, starts, time_step, (0.9056, 0.0, -14.572), -(10 + 1 + 8 / 3), 10
    )
