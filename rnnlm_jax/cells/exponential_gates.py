"""Exponential gates in a common scale, so that they neither overflow nor underflow (xLSTM, Beck et al. 2024)."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array
from rnnlm_jax.cells.cell import check_choice

#: Largest exponent of a forget gate: an empty state has no scale, and ``e^{large} · 0`` would not be a number.
LARGEST_EXPONENT = 30.0


def _itself(a: Array) -> Array:
    return a


LOG_FORGET_GATES: dict[str, Callable[[Array], Array]] = {"sigmoid": log_sigmoid, "exp": _itself}


def log_forget_gate(forget: str) -> Callable[[Array], Array]:
    """Return the logarithm of a forget gate as a function of its pre-activation: of σ, or of exp.

    Raises:
        ArgumentError: for another name.
    """
    return LOG_FORGET_GATES[check_choice("forget", forget, LOG_FORGET_GATES)]


class StabilisedGates(NamedTuple):
    """The gates divided by ``e^{m_t}``, and the stabiliser ``m_t``."""

    input_gate: Array
    forget_gate: Array
    stabiliser: Array


def stabilise(log_input: Array, log_forgotten: Array, empty: Array | None = None) -> StabilisedGates:
    """Return ``m_t = max(ĩ, ln f + m_{t-1})``, ``i' = e^{ĩ - m_t}`` and ``f' = e^{ln f + m_{t-1} - m_t}``.

    What is stored is the state divided by ``e^{m_t}``: the larger of both gates is 1.

    Args:
        log_input: ``ĩ``, the logarithm of the input gate.
        log_forgotten: ``ln f + m_{t-1}``.
        empty: where nothing is stored, so that ``m_t = ĩ``: a normaliser divided by ``e^{m_t}`` then starts at 1.
    """
    m = jnp.maximum(log_input, log_forgotten)
    if empty is not None:
        m = jnp.where(empty, log_input, m)
    largest = jnp.full((), LARGEST_EXPONENT, m.dtype)
    return StabilisedGates(jnp.exp(log_input - m), jnp.exp(jnp.minimum(log_forgotten - m, largest)), m)
