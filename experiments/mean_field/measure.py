"""Measurements of random networks beside their mean-field theory; each returns one row as JSON has it."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.cells.initializers import scaled_orthogonal
from rnnlm_jax.cells.minimalrnn import critical_gain
from rnnlm_jax.compilation import jit
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians import lyapunov_spectrum, mean_field, step_jacobian
from rnnlm_jax.jacobians.mean_field.random_cells import RandomNetwork, random_network
from rnnlm_jax.unroll import unroll

Row = dict[str, Any]


def elman_exponent(
    activation: str, gain: float, input_variance: float, *, units: int, steps: int, networks: int
) -> Row:
    """Return the largest exponent, E[h²] and χ of Elman networks, means over time and networks, with the theory.

    The standard error of the exponent is that over time for one network, and over networks for several.
    """
    theory = mean_field.elman(gain, activation, input_variance=input_variance)
    burn_in = steps // 4
    exponents, errors, squares, chis = [], [], [], []
    for seed in range(networks):
        network = _elman(activation, gain, input_variance, units, steps + burn_in, seed)
        found = jax.device_get(
            lyapunov_spectrum(
                network.cell, network.params, network.state, network.xs, key=jax.random.key(0), count=1, burn_in=burn_in
            )
        )
        exponents.append(float(found.exponents[0]))
        errors.append(float(found.standard_errors[0]))
        hs = _states(network)[burn_in:]
        squares.append(float(np.mean(hs**2)))
        chis.append(float(gain**2 * np.mean(_slopes(activation, hs) ** 2)))
    scatter = float(np.std(exponents, ddof=1)) / math.sqrt(networks) if networks > 1 else errors[0]
    return {
        "activation": activation,
        "gain": gain,
        "input_variance": input_variance,
        "units": units,
        "networks": networks,
        "exponent": float(np.mean(exponents)),
        "standard_error": scatter,
        "square": float(np.mean(squares)),
        "chi": float(np.mean(chis)),
        "theory": {
            "exponent": theory.largest_exponent,
            "square": (theory.variance - input_variance) / gain**2,
            "chi": theory.chi,
        },
    }


def elman_density(
    activation: str, gain: float, input_variance: float, depth: int, *, units: int, steps: int, times: int
) -> Row:
    """Return singular values of products of ``depth`` Jacobians of one network at several times, and the density."""
    theory = mean_field.elman(gain, activation, input_variance=input_variance)
    network = _elman(activation, gain, input_variance, units, steps)
    hs, products = _states(network), []
    weights = np.asarray(network.params.w_h, np.float64).T
    for end in np.linspace(steps // 2, steps, times).astype(int):
        product = np.eye(units)
        for h in hs[end - depth : end]:
            product = _slopes(activation, h)[:, None] * (weights @ product)
        products.append(product)
    named = {"activation": activation, "gain": gain, "input_variance": input_variance, "depth": depth, "units": units}
    density, moments = mean_field.singular_density(theory, depth), mean_field.singular_moments(theory, depth)
    return named | {"times": times} | _compared(products, density, moments)


def gated(cell: str, gain: float, parameters: dict[str, float], *, units: int, steps: int) -> Row:
    """Return E[h²], moments and density of the step Jacobian at the fixed point of a gated network."""
    theory = (mean_field.gru if cell == "gru" else mean_field.lstm)(gain, **parameters)
    network = random_network(cell, gain, parameters, units=units, steps=steps)
    final, hs = _unrolled(network)
    jacobian = np.asarray(step_jacobian(network.cell, network.params, final, network.xs[0]), np.float64)
    change = float(np.abs(hs[-1] - hs[-2]).max())
    row = {
        "cell": cell,
        "gain": gain,
        **parameters,
        "units": units,
        "change_of_the_last_step": change,
        "square": float(np.mean(hs[-1] ** 2)),
        "theory_square": theory.square,
        "theory_feedback": theory.feedback,
    }
    try:
        density = theory.law.singular_density()
    except ArgumentError:  # peaks too narrow to be resolved; the moments are compared all the same
        density = None
    return row | _compared([jacobian], density, theory.law.singular_moments())


def minimal(gate_bias: float, *, units: int, steps: int) -> Row:
    """Return χ of a minimalRNN with 300 normal inputs, at the critical gain of the mean square of its codes."""
    inputs = jax.random.normal(jax.random.key(1), (steps, 300), jnp.float32)
    row: Row = {"gate_bias": gate_bias, "units": units, "steps": steps}
    first = cells.minimalrnn(units, gate_bias).init(jax.random.key(0), 300)
    codes = float(np.mean(np.tanh(np.asarray(inputs @ first.w_x, np.float64)) ** 2))
    gain = critical_gain(gate_bias, codes)
    cell = cells.minimalrnn(units, gate_bias, scaled_orthogonal(gain))
    params = cell.init(jax.random.key(0), 300)
    network = RandomNetwork(cell, params, cell.initial_state(()), inputs)
    final, hs = _unrolled(network)
    jacobian = np.asarray(step_jacobian(cell, params, final, inputs[0]), np.float64)
    theory = mean_field.minimalrnn(gain, gate_bias=gate_bias, input_variance=codes)
    return row | {
        "critical_gain": gain,
        "input_variance": codes,
        "square": float(np.mean(hs[-1] ** 2)),
        "chi": float(np.sum(jacobian**2) / units),
        "theory": {"square": theory.square, "chi": theory.chi},
    }


def critical(matrix: str, input_variance: float, *, units: int, steps: int, gradients: int = 32) -> Row:
    """Return the mean squared norm of unit gradients after ``steps`` steps back from a critical tanh network's end."""
    init = mean_field.critical_init("tanh", matrix, input_variance=input_variance)
    gain = mean_field.critical_gain("tanh", input_variance=input_variance)
    weights = np.asarray(init(jax.random.key(3), (units, units), np.float32), np.float64)
    rng = np.random.default_rng(0)
    h, slopes = np.zeros(units), []
    for _ in range(steps + 30):
        h = np.tanh(h @ weights + math.sqrt(input_variance) * rng.normal(size=units))
        slopes.append(1 - h**2)
    back = rng.normal(size=(gradients, units))
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    logs = []
    for slope in slopes[: -steps - 1 : -1]:
        back = (back * slope) @ weights.T
        logs.append(float(np.log(np.mean(np.sum(back**2, axis=1)))))
    return {
        "matrix": matrix,
        "input_variance": input_variance,
        "gain": gain,
        "units": units,
        "log_squared_norm": logs,
    }


def _elman(activation: str, gain: float, input_variance: float, units: int, steps: int, seed: int = 0) -> RandomNetwork:
    parameters = {"input_variance": input_variance}
    return random_network(f"elman-{activation}", gain, parameters, units=units, steps=steps, seed=seed)


def _unrolled(network: RandomNetwork) -> tuple[Any, np.ndarray]:
    """Return the final state, and the outputs ``[T, N]`` in float64."""
    run = jit(lambda params, state, xs: unroll(network.cell, params, state, xs))
    final, outputs = run(network.params, network.state, network.xs)
    return final, np.asarray(outputs, np.float64)


def _states(network: RandomNetwork) -> np.ndarray:
    return _unrolled(network)[1]


def _slopes(activation: str, h: np.ndarray) -> np.ndarray:
    """Return φ' from ``h = φ(a)``."""
    return {"tanh": 1 - h**2, "sigmoid": h * (1 - h), "relu": (h > 0).astype(float)}[activation]


def _compared(
    matrices: Sequence[np.ndarray], density: mean_field.SingularDensity | None, moments: mean_field.SingularMoments
) -> Row:
    """Return moments and the largest difference of the shares of singular values below each number."""
    each = [np.linalg.svd(matrix.astype(np.float32), compute_uv=False) for matrix in matrices]
    sigma = np.sort(np.concatenate(each)).astype(float)
    of_moments: Row = {
        "moments": [float(np.mean(sigma**2)), float(np.mean(sigma**4))],
        "theory_moments": list(moments),
    }
    if density is None:
        return of_moments
    logs, shares = np.log(np.maximum(sigma, 1e-30)), (np.arange(len(sigma)) + 0.5) / len(sigma)
    points = density.log_singular_values
    drawn = logs > points[0]
    below = np.interp(logs, points, density.cumulative())
    counts, edges = np.histogram(logs[drawn], bins=40)
    return of_moments | {
        "largest_difference_of_shares": float(np.abs(below - shares)[drawn].max()),
        "log_largest": float(logs[-1]),
        "histogram": {"edges": edges.tolist(), "share_per_nat": (counts / len(sigma) / np.diff(edges)).tolist()},
        "density": {"log_singular_values": points.tolist(), "share_per_nat": density.density.tolist()},
    }
