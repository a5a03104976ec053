"""Activation functions and their slopes in NumPy float64, under the names that ``cells.elman`` has for them."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.arrays.gaussian_averages import Elementwise


class Nonlinearity(NamedTuple):
    """An activation function φ."""

    value: Elementwise
    """φ."""
    slope: Elementwise
    """φ'."""
    log_slope: Elementwise
    """``ln|φ'|``, without underflow; -inf where φ' is 0."""


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return ``σ(x) = 1/(1 + e^-x)``."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def sigmoid_slope(x: np.ndarray) -> np.ndarray:
    """Return ``σ'(x)``."""
    return np.exp(_log_sigmoid_slope(x))


def tanh_slope(x: np.ndarray) -> np.ndarray:
    """Return ``1 - tanh² x``."""
    return 4 * sigmoid_slope(2 * x)


def _log_sigmoid_slope(x: np.ndarray) -> np.ndarray:
    size = np.abs(x)
    return -size - 2 * np.log1p(np.exp(-size))


def _log_relu_slope(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, 0.0, -np.inf)


#: Name -> activation function.
NONLINEARITIES = {
    "identity": Nonlinearity(lambda x: x, np.ones_like, np.zeros_like),
    "sigmoid": Nonlinearity(sigmoid, sigmoid_slope, _log_sigmoid_slope),
    "tanh": Nonlinearity(np.tanh, tanh_slope, lambda x: np.log(4) + _log_sigmoid_slope(2 * x)),
    "relu": Nonlinearity(lambda x: np.maximum(x, 0), lambda x: np.asarray(x > 0, float), _log_relu_slope),
}
