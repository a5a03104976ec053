"""Systems with known exponents, as plain steps ``(params, state, x) -> state`` that do not read x."""

import jax.numpy as jnp

#: a, b of Hénon (1976), and σ, ρ, β and the time step of Lorenz (1963).
HENON, LORENZ = (1.4, 0.3), (10.0, 28.0, 8 / 3, 0.01)


def henon(params, state, x):
    """The map ``(u, v) ← (1 - a u² + v, b u)``, whose Jacobian has the determinant -b everywhere."""
    a, b = params
    u, v = state
    return jnp.stack([1 - a * u * u + v, b * u])


def lorenz_flow(params, state):
    """The time derivative of the Lorenz system; its divergence is ``-(σ + 1 + β)`` everywhere."""
    sigma, rho, beta, _ = params
    u, v, w = state
    return jnp.stack([sigma * (v - u), u * (rho - w) - v, u * v - beta * w])


def lorenz_step(params, state, x):
    """One step of the classical Runge-Kutta method of order four."""
    dt = params[-1]
    k1 = lorenz_flow(params, state)
    k2 = lorenz_flow(params, state + dt / 2 * k1)
    k3 = lorenz_flow(params, state + dt / 2 * k2)
    k4 = lorenz_flow(params, state + dt * k3)
    return state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
