"""The orthogonal recurrent network: its recurrent matrix is the exponential of a skew-symmetric matrix."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.log_slopes import log_relu_slope, log_tanh_slope
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, LogDeterminant

#: Squarings in the matrix exponential, the default of jax; it is NaN beyond.
MAX_SQUARINGS = 16


@serialized
class ExpRNNParams(NamedTuple):
    """The input map; A, read strictly above its diagonal; the bias (tanh only) and the threshold (modReLU only)."""

    w_x: Float[Array, "D H"]
    skew: Float[Array, "H H"]
    b: Float[Array, " H"] | None
    threshold: Float[Array, " H"] | None


class PreparedExpRNNParams(NamedTuple):
    """``ExpRNNParams`` with the orthogonal matrix ``W = exp(A - Aᵀ)`` in place of A."""

    w_x: Float[Array, "D H"]
    orthogonal: Float[Array, "H H"]
    b: Float[Array, " H"] | None
    threshold: Float[Array, " H"] | None


@serialized
class ExpRNNState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


def modrelu(a: Array, threshold: Array) -> Array:
    """Return ``sign(a) max(|a| + threshold, 0)``, elementwise (Arjovsky, Shah & Bengio 2016, eq. 8, real)."""
    return jnp.sign(a) * jax.nn.relu(jnp.abs(a) + over_batch(threshold, a))


def exponential(skew: Float[Array, "H H"]) -> Float[Array, "H H"]:
    """Return ``exp(A - Aᵀ)``, with A the entries above the diagonal of ``skew``.

    It is orthogonal to rounding: the rational function that approximates the exponential is exactly so for a
    skew-symmetric matrix. NaN if the largest column sum of ``|A - Aᵀ|`` exceeds 2^16 times 5.4 (3.9 in float32).
    """
    wide = skew.dtype if jnp.finfo(skew.dtype).bits >= 32 else jnp.float32  # there is no exponential in half precision
    upper = jnp.triu(skew, 1).astype(wide)
    return jax.scipy.linalg.expm(upper - upper.T, max_squarings=MAX_SQUARINGS).astype(skew.dtype)


def henaff_angles(key: Key, count: int, dtype: Any) -> Array:
    """Draw angles uniformly from ±π (Henaff, Szlam & LeCun 2016)."""
    return jax.random.uniform(key, (count,), dtype, -math.pi, math.pi)


def cayley_angles(key: Key, count: int, dtype: Any) -> Array:
    """Draw ``-√((1 - cos u)/(1 + cos u)) = -tan(u/2)`` with u uniform in [0, π/2] (Helfrich, Willmott & Ye 2018)."""
    return -jnp.tan(jax.random.uniform(key, (count,), dtype, 0.0, math.pi / 2) / 2)


ANGLES = {"henaff": henaff_angles, "cayley": cayley_angles}


@cell_factory
def exprnn(
    hidden_size: int,
    activation: str = "modrelu",
    skew_init: str = "henaff",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ExpRNNParams, ExpRNNState]:
    """Return the exponential recurrent network, expRNN (Lezcano-Casado & Martínez-Rubio 2019, section 4).

        h_t = φ(x_t W_x + h_{t-1} W),    W = exp(A - Aᵀ),

    with A strictly upper triangular: ``skew`` is read above its diagonal. W is orthogonal whatever A is, so that
    training A by any optimiser keeps all its singular values at 1. φ is modReLU, ``sign(a) max(|a| + c, 0)`` with a
    trained threshold c, or ``tanh(a + b)``. ``unroll`` computes W once a sequence (``prepare_params``).

    Initial values are those of the authors' code (Lezcano/expRNN): ``W_x`` from N(0, 2/D), c uniform in ±0.01, and
    A - Aᵀ of ⌊H/2⌋ rotations of two units each, whose angles ``skew_init`` draws. The authors train A with a tenth of
    the learning rate of the other parameters.

    Args:
        hidden_size: H.
        activation: φ: "modrelu" or "tanh".
        skew_init: angles of the initial rotations: "henaff", uniform in ±π, or "cayley", ``-tan(u/2)`` with u uniform
            in [0, π/2].
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown activation or initialiser, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    thresholded = check_choice("activation", activation, ("modrelu", "tanh")) == "modrelu"
    draw_angles = ANGLES[check_choice("skew_init", skew_init, ANGLES)]

    def init(key: Key, input_size: int) -> ExpRNNParams:
        check_size("input_size", input_size)
        input_key, skew_key, threshold_key = jax.random.split(key, 3)
        angles = draw_angles(skew_key, hidden_size // 2, param_dtype)
        first = jnp.arange(0, hidden_size - 1, 2)
        skew = jnp.zeros((hidden_size, hidden_size), param_dtype).at[first, first + 1].set(angles)
        return ExpRNNParams(
            w_x=jax.random.normal(input_key, (input_size, hidden_size), param_dtype) * (2 / input_size) ** 0.5,
            skew=skew,
            b=None if thresholded else jnp.zeros((hidden_size,), param_dtype),
            threshold=jax.random.uniform(threshold_key, (hidden_size,), param_dtype, -0.01, 0.01)
            if thresholded
            else None,
        )

    def initial_state(batch_shape: tuple[int, ...]) -> ExpRNNState:
        return ExpRNNState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def prepare(params: ExpRNNParams | PreparedExpRNNParams) -> PreparedExpRNNParams:
        if isinstance(params, PreparedExpRNNParams):
            return params
        return PreparedExpRNNParams(params.w_x, exponential(params.skew), params.b, params.threshold)

    def recurrent_projection(params: ExpRNNParams | PreparedExpRNNParams, state: ExpRNNState) -> Array:
        return linear_maps.product(state.hidden, prepare(params).orthogonal, dtype)

    def update(params: Any, state: ExpRNNState, z: Array, r: Array) -> ExpRNNState:
        a = linear_maps.preactivation(z, r, state.hidden)
        return ExpRNNState(modrelu(a, params.threshold) if thresholded else tanh(a))

    def log_slopes(params: Any, before: ExpRNNState, after: ExpRNNState, z: Array, r: Array) -> Array:
        del after
        a = linear_maps.preactivation(z, r, before.hidden)
        if not thresholded:
            return log_tanh_slope(a)
        return log_relu_slope(jnp.abs(a) + over_batch(params.threshold, a))

    def recurrent_block(params: ExpRNNParams | PreparedExpRNNParams) -> Array:
        return linear_maps.rounded(prepare(params).orthogonal, dtype)

    variant = (("activation", activation), ("skew_init", skew_init))
    return Cell(
        spec=CellSpec("exprnn", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=recurrent_projection,
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
        prepare_params=prepare,
    ).with_facts(
        CellFacts(
            # The matrix is orthogonal, and its determinant 1, but for products that round it.
            log_determinant=LogDeterminant(log_slopes, None if dtype == param_dtype else recurrent_block),
            recurrent_matrices=("skew",),
        )
    )
