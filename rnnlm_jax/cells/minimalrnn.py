"""The minimal gated network in which gate and state meet a code of the input, and its critical initialisation."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.gaussian_averages import normal_rule
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_number, check_size
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.errors import ArgumentError


@serialized
class MinimalRNNParams(NamedTuple):
    """The encoder ``w_x, b`` of the input; and the gate's maps from the code, ``w_n``, and the state, and its bias."""

    w_x: Float[Array, "D H"]
    b: Float[Array, " H"]
    w_n: Float[Array, "H H"]
    w_h: Float[Array, "H H"]
    b_u: Float[Array, " H"]


@serialized
class MinimalRNNState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


@cell_factory
def minimalrnn(
    hidden_size: int,
    gate_bias: float = 0.0,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[MinimalRNNParams, MinimalRNNState]:
    """Return the minimalRNN (Chen 2017, arXiv:1711.06788; Chen, Pennington & Schoenholz 2018, arXiv:1806.05394).

        n_t = tanh(x_t W_x + b),    u_t = σ(h_{t-1} W_h + n_t W_n + b_u),    h_t = u_t h_{t-1} + (1 - u_t) n_t

    The state is a running mean of codes n of the inputs. The code is not affine in x and the gate needs its product
    with W_n, so that the cell is a whole step: only ``x W_x + b`` is computed for all steps at once, and weight drop
    takes W_n and W_h.

    W_h starts orthogonal, as in the second paper, W_x and W_n by Glorot. For the paper's critical initialisation, at
    which gradients neither vanish nor explode on average, scale W_h by ``critical_gain``:

        recurrent_init=initializers.scaled_orthogonal(critical_gain(gate_bias, input_variance=0.4))

    Along the critical line singular values of the step Jacobian approach 1 as ``gate_bias`` grows.

    Args:
        hidden_size: H.
        gate_bias: initial value of ``b_u``; large values keep the state for long.
        recurrent_init: initialiser of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def gate(key: Key) -> dict[str, Array]:
        return {
            "w_n": initializers.glorot(key, (hidden_size, hidden_size), param_dtype),
            "b_u": jnp.full((hidden_size,), gate_bias, param_dtype),
        }

    def initial_state(batch_shape: tuple[int, ...]) -> MinimalRNNState:
        return MinimalRNNState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def whole_step(params: MinimalRNNParams, state: MinimalRNNState, z: Array) -> MinimalRNNState:
        n = tanh(z.astype(param_dtype))
        from_code = linear_maps.product(n, params.w_n, dtype)
        from_state = linear_maps.product(state.hidden, params.w_h, dtype)
        u = linear_maps.preactivation(from_code, from_state, state.hidden) + over_batch(params.b_u, n)
        return MinimalRNNState(interpolate(sigmoid(u), sigmoid(-u), state.hidden, n))

    return Cell(
        spec=CellSpec("minimalrnn", hidden_size, hidden_size, dtype, param_dtype, (("gate_bias", gate_bias),)),
        init=linear_maps.initial_maps(MinimalRNNParams, hidden_size, (0.0,), recurrent_init, param_dtype, extra=gate),
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        whole_step=whole_step,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_n", "w_h")))


def critical_gain(gate_bias: float, input_variance: float, code_gain: float = 1.0) -> float:
    """Return σ_w, the scale of an orthogonal ``W_h`` at which a wide minimalRNN is critical.

    The mean field of Chen, Pennington & Schoenholz 2018 for codes n_t that are independent over time with
    mean 0 and variance R. Gates are ``u = σ(e)``, ``e ~ N(gate_bias, v)``, with

        v = σ_w² q + σ_v² R,    q = E[h²] = R E[(1 - u)²] / (1 - E[u²]),    χ = E[u²] + σ_w² E[σ'(e)²] (q + R),

    where χ is the mean squared singular value of the step Jacobian. The gain is the root of ``χ = 1``: below it
    gradients vanish, above it they explode.

    Args:
        gate_bias: μ, the mean of ``b_u``.
        input_variance: R, the mean square of ``tanh(x W_x + b)``.
        code_gain: σ_v, √H times the standard deviation of ``w_n``; 1 for Glorot.

    Raises:
        ArgumentError: if the variance is not above 0 and at most 1, the gain is negative, or a number is not finite.
    """
    for name, value in {"gate_bias": gate_bias, "input_variance": input_variance, "code_gain": code_gain}.items():
        check_number(name, value)
    if not 0 < input_variance <= 1:
        raise ArgumentError(f"`input_variance` must be above 0 and at most 1, as of a tanh, not {input_variance}")
    if code_gain < 0:
        raise ArgumentError(f"`code_gain` must be at least 0, not {code_gain}")
    from_code = code_gain**2 * input_variance

    def squared_gains(variance: float) -> tuple[float, float]:
        """Return the σ_w² that gives gates this variance, and the one that makes χ equal 1 at this variance."""
        e, weights = normal_rule(variance, gate_bias)
        u, rest = 1 / (1 + np.exp(-e)), 1 / (1 + np.exp(e))
        functions = (rest**2, rest * (1 + u), (u * rest) ** 2)  # the second is 1 - u² without cancellation
        written, lost, slopes = (float(weights @ f) for f in functions)
        q = input_variance * written / lost
        return (variance - from_code) / q, lost / (slopes * (q + input_variance))

    low, high = from_code, 2 * from_code + 1

    def too_small(variance: float) -> bool:
        given, critical = squared_gains(variance)
        return given < critical

    while too_small(high):
        low, high = high, 2 * high
    for _ in range(60):  # bisection to the last digit
        middle = (low + high) / 2
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return math.sqrt(squared_gains(high)[1])
