"""Regularisation of activations: outputs that are small, and change little from step to step."""

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.regularizers.regularizer import Regularizer, Window, regularizer_factory


@regularizer_factory
def activation(weight: float) -> Regularizer:
    """Activation regularisation (Merity, McCann & Socher 2017; Merity, Keskar & Socher 2018, section 4.6).

        α Σ_{t,b} w_tb · 1/H ‖m ⊙ h_tb‖²

    It reads the outputs of the highest layer after dropout (the mask m). With a loss per token it is α times the mean
    of the squares of all numbers at positions that count. The paper's α is 2.

    Args:
        weight: α.

    Raises:
        ArgumentError: if α is not positive.
    """

    def term(window: Window) -> Float[Array, ""]:
        assert window.dropped is not None
        return _weighted_mean_squares(window.dropped, window.weights)

    return Regularizer("activation", weight, term)


@regularizer_factory
def temporal_activation(weight: float) -> Regularizer:
    """Temporal activation regularisation (Merity, McCann & Socher 2017; Merity, Keskar & Socher 2018, section 4.6).

        β Σ_{t<T,b} w_{t+1,b} [w_tb > 0] · 1/H ‖h_tb - h_{t+1,b}‖²

    It reads the outputs of the highest layer before dropout. A pair of steps counts if both do, with the weight of the
    later one: a window of T steps has T - 1 pairs, and with a loss per token the term is β (T - 1)/T times the mean
    over pairs and units. The paper's β is 1.

    Args:
        weight: β.

    Raises:
        ArgumentError: if β is not positive.
    """

    def term(window: Window) -> Float[Array, ""]:
        assert window.hs is not None
        weights = jnp.where(window.weights[:-1] > 0, window.weights[1:], jnp.zeros((), window.weights.dtype))
        return _weighted_mean_squares(window.hs[1:] - window.hs[:-1], weights)

    return Regularizer("temporal_activation", weight, term)


def _weighted_mean_squares(values: Float[Array, "T B H"], weights: Float[Array, "T B"]) -> Float[Array, ""]:
    """Return ``Σ_{t,b} w_tb · mean_i v_tbi²``; what has weight 0 may be any finite number."""
    return (jnp.square(values).mean(axis=-1) * weights.astype(values.dtype)).sum()
