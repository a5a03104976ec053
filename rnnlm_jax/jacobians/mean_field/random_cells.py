"""Cells with the random weights, biases and inputs that the theory is about, to measure beside it."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.cells.cell import Cell, check_choice, check_number, check_positive, check_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.mean_field.gated_networks import gru, lstm
from rnnlm_jax.jacobians.mean_field.simple_network import elman


class RandomNetwork(NamedTuple):
    """A cell with random parameters, a first state, and inputs."""

    cell: Cell
    params: Tree
    state: Tree
    xs: Array
    """``[T, D]``."""


#: Cell -> the parameters of its theory beside the gain, with their defaults. The first is the axis of a phase diagram.
PARAMETERS: dict[str, dict[str, float]] = {
    "elman-tanh": {"input_variance": 0.0, "bias_variance": 0.0},
    "elman-sigmoid": {"input_variance": 0.0, "bias_variance": 0.0},
    "elman-relu": {"input_variance": 0.0, "bias_variance": 0.0},
    "gru": {"update_bias": 0.0, "reset_bias": 0.0, "bias_variance": 0.0},
    "lstm": {"forget_bias": 1.0, "bias_variance": 0.0},
}

#: Gated cell -> the parameter that is the mean bias of each gate; None: 0.
_GATES: dict[str, tuple[str | None, ...]] = {
    "gru": ("reset_bias", "update_bias", None),
    "lstm": (None, "forget_bias", None, None),
}


def settings_of(cell: str, given: dict[str, float]) -> dict[str, float]:
    """Return all parameters of a cell's theory, those given and defaults.

    Raises:
        ArgumentError: for an unknown cell or parameter, or a value that is not a number.
    """
    known = PARAMETERS[check_choice("cell", cell, PARAMETERS)]
    for name, value in given.items():
        if name not in known:
            raise ArgumentError(f"{cell} has no parameter {name!r}: its parameters are {', '.join(known)}")
        check_number(name, value)
        if name.endswith("variance"):
            check_positive(name, value, or_zero=True)
    return known | {name: float(value) for name, value in given.items()}


def stability(cell: str, gain: float, **parameters: float) -> float:
    """Return the number that is 1 at the edge of chaos by theory, below it where nearby states meet.

    It is χ for an Elman network, and the feedback of the fixed point for a GRU or LSTM.

    Args:
        cell: "elman-tanh", "elman-sigmoid", "elman-relu", "gru" or "lstm".
        gain: g.
        **parameters: see ``PARAMETERS``.

    Raises:
        ArgumentError: as ``settings_of``, and where the theory has no stationary state.
    """
    settings = settings_of(cell, parameters)
    if cell == "gru":
        return gru(gain, **settings).feedback
    if cell == "lstm":
        return lstm(gain, **settings).feedback
    return elman(gain, cell.removeprefix("elman-"), **settings).chi


def random_network(
    cell: str, gain: float, parameters: dict[str, float], *, units: int, steps: int, seed: int = 0
) -> RandomNetwork:
    """Return a network of the theory: weights ``N(0, g²/N)``, biases about their means, white inputs of every unit.

    Args:
        cell: one of ``PARAMETERS``.
        gain: g.
        parameters: see ``PARAMETERS``.
        units: N.
        steps: T.
        seed: of the random numbers.

    Raises:
        ArgumentError: for an unknown cell or parameter, or a number out of range.
    """
    settings = settings_of(cell, parameters)
    check_positive("gain", gain, or_zero=True)
    units, steps = check_size("units", units), check_size("steps", steps)
    rng = np.random.default_rng(seed)
    made = cells.make(cell, units, **({"candidate_bias": False} if cell == "gru" else {}))
    means = [settings.get(name, 0.0) if name else 0.0 for name in _GATES.get(cell, (None,))]
    width = len(means) * units

    def drawn(deviation: float, *shape: int) -> Array:
        return jnp.asarray(deviation * rng.normal(size=shape), jnp.float32)

    fields: dict[str, Any] = {
        "w_h": drawn(gain / math.sqrt(units), units, width),
        "b": jnp.repeat(jnp.asarray(means, jnp.float32), units) + drawn(math.sqrt(settings["bias_variance"]), width),
    }
    inputs = settings.get("input_variance", 0.0)
    fields["w_x"] = jnp.eye(units, dtype=jnp.float32) if inputs else jnp.zeros((1, width), jnp.float32)
    if cell == "gru":
        fields["b_n"] = None
    params = type(_shapes(made))(**fields)
    xs = drawn(math.sqrt(inputs), steps, units if inputs else 1)
    state = made.initial_state(())
    state = type(state)(*(drawn(1.0, units) for _ in state))
    return RandomNetwork(made, params, state, xs)


def _shapes(cell: Cell) -> Any:
    """Return the shapes of a cell's parameters, in their type."""
    return jax.eval_shape(lambda key: cell.init(key, 1), jax.random.key(0))
