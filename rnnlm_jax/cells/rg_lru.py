"""The real-gated linear recurrent unit, with decays that depend on the input."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import softplus

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import log_sigmoid, sigmoid
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.lru import check_ring, negative_log_radius
from rnnlm_jax.errors import ArgumentError

#: c, the power to which the recurrence gate raises the decay.
POWER = 8.0


@serialized
class RGLRUParams(NamedTuple):
    """Λ of the decays; matrices and biases of the recurrence gate a and of the input gate i; and the input map.

    ``w_a`` and ``w_i`` have the N diagonal blocks ``[K, K]`` of a matrix under each other, ``K = H / N``. ``w_x`` is
    None where inputs have H features: they are then read as they are.
    """

    decay: Float[Array, " H"]
    w_a: Float[Array, "H K"]
    w_i: Float[Array, "H K"]
    b_a: Float[Array, " H"]
    b_i: Float[Array, " H"]
    w_x: Float[Array, "D H"] | None


@serialized
class RGLRUState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


@jax.custom_jvp
def input_scale(log_s: Array) -> Array:
    """Return ``√(1 - a²)`` of ``a = exp(-s)`` from ``ln s``, elementwise, with a derivative that is bounded.

    The derivative of the root by ``1 - a²`` has no bound, which is why the authors' code clips it at 1000. With respect
    to ``ln s`` it is ``√(1 - a²) · s a² / (1 - a²)``, at most 1/4, and needs no clipping.
    """
    square = -jnp.expm1(-2 * jnp.exp(log_s))
    positive = square > 0  # jax differentiates the root where a second reverse pass through scan drops the rule below
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


@input_scale.defjvp
def _input_scale_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (log_s,), (d_log_s,) = primals, tangents
    s = jnp.exp(log_s)
    # The relative slope s / (e^2s - 1): by its series where s is small, since quotients of s would underflow.
    small = s < 1e-4
    safe = jnp.where(small, 1, s)
    relative = jnp.where(small, 0.5 * (1 - s + s * s / 3), safe * jnp.exp(-2 * safe) / -jnp.expm1(-2 * safe))
    scale = input_scale(log_s)
    return scale, d_log_s * (scale * relative)


def block_diagonal(x: Float[Array, "*B H"], w: Float[Array, "H K"], dtype: Any) -> Float[Array, "*B H"]:
    """Return the product of ``x`` with a block-diagonal matrix, whose blocks ``[K, K]`` stand under each other."""
    width = w.shape[1]
    if width == w.shape[0]:
        return linear_maps.product(x, w, dtype)
    parts = x.astype(dtype).reshape(*x.shape[:-1], -1, width)
    blocks = w.astype(dtype).reshape(-1, width, width)
    return jnp.einsum("...nk,nkj->...nj", parts, blocks).reshape(x.shape)


@cell_factory
def rg_lru(
    hidden_size: int,
    heads: int = 1,
    *,
    r_min: float = 0.9,
    r_max: float = 0.999,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[RGLRUParams, RGLRUState]:
    """Return the real-gated linear recurrent unit, RG-LRU (De et al. 2024, "Griffin", section 2.4, eqs. 1-4).

    With ``u_t`` the input, of H features,

        r_t = σ(W_a u_t + b_a),    i_t = σ(W_i u_t + b_i),    a_t = exp(-8 softplus(Λ) r_t),
        h_t = a_t h_{t-1} + √(1 - a_t²) (i_t u_t):

    linear in the state, and each unit by itself. W_a and W_i are block-diagonal, one block a head. Inputs of another
    size are first projected, ``u_t = x_t W_x``, as the linear layer before the recurrence does in Griffin's block.

    At first ``exp(-softplus(Λ))``, the decay without its power, is drawn as the radius of points that are uniform in
    the area of a ring, as in the authors' code; W_a, W_i and W_x are Gaussian of variance one over their number of
    inputs. In the authors' code the first step of a document has 1 in place of ``√(1 - a_t²)``; here, as in the paper,
    every step is the same. √(1 - a²) is formed without cancellation, see ``input_scale`` for its derivative.

    Args:
        hidden_size: H.
        heads: N, the number of diagonal blocks of W_a and W_i; 1 makes them full matrices.
        r_min: smallest initial decay.
        r_max: largest initial decay.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if the heads do not divide H, unless ``0 < r_min < r_max < 1``, or if a size is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    heads = check_size("heads", heads)
    if hidden_size % heads:
        raise ArgumentError(f"`heads` must divide `hidden_size`: {heads} does not divide {hidden_size}")
    check_ring(r_min, r_max)
    if r_min == 0 or r_max == 1:
        raise ArgumentError(
            f"`r_min` must be above 0 and `r_max` below 1, not {r_min} and {r_max}: Λ would be infinite"
        )
    width = hidden_size // heads

    def init(key: Key, input_size: int) -> RGLRUParams:
        check_size("input_size", input_size)
        decay_key, a_key, i_key, x_key = jax.random.split(key, 4)

        def gaussian(key: Key, shape: tuple[int, int], inputs: int) -> Array:
            return jax.random.normal(key, shape, param_dtype) / math.sqrt(inputs)

        decay = negative_log_radius(decay_key, (hidden_size,), r_min, r_max, param_dtype)
        return RGLRUParams(
            decay=jnp.log(jnp.expm1(decay)),  # the inverse of softplus
            w_a=gaussian(a_key, (hidden_size, width), width),
            w_i=gaussian(i_key, (hidden_size, width), width),
            b_a=jnp.zeros((hidden_size,), param_dtype),
            b_i=jnp.zeros((hidden_size,), param_dtype),
            w_x=None if input_size == hidden_size else gaussian(x_key, (input_size, hidden_size), input_size),
        )

    def initial_state(batch_shape: tuple[int, ...]) -> RGLRUState:
        return RGLRUState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def input_projection(params: RGLRUParams, x: Array) -> Array:
        """Return the pre-activations of the gates a and i, and the input u, side by side."""
        if params.w_x is not None:
            u = linear_maps.product(x, params.w_x, dtype)
        elif x.shape[-1] == hidden_size:
            u = x.astype(dtype)
        else:
            raise ArgumentError(
                f"{x.shape[-1]} features do not fit parameters made for {hidden_size}: check `input_size`"
            )
        gates = [
            block_diagonal(u, w, dtype) + jnp.broadcast_to(b, u.shape).astype(dtype)
            for w, b in ((params.w_a, params.b_a), (params.w_i, params.b_i))
        ]
        return jnp.concatenate([*gates, u], axis=-1)

    def rate_and_logarithm(params: RGLRUParams, a: Array) -> tuple[Array, Array]:
        """Return ``s`` of the decay ``a_t = exp(-s)``, and ``ln s``, each with all its digits."""
        largest = POWER * softplus(params.decay)
        return over_batch(largest, a) * sigmoid(a), over_batch(jnp.log(largest), a) + log_sigmoid(a)

    def update(params: RGLRUParams, state: RGLRUState, z: Array, r: Array) -> RGLRUState:
        del r
        a, i, u = linear_maps.split_gates(z.astype(param_dtype), 3)
        s, log_s = rate_and_logarithm(params, a)
        return RGLRUState(jnp.exp(-s) * state.hidden + input_scale(log_s) * (sigmoid(i) * u))

    def log_slopes(params: RGLRUParams, before: RGLRUState, after: RGLRUState, z: Array, r: Array) -> Array:
        del before, after, r
        return -rate_and_logarithm(params, linear_maps.split_gates(z.astype(param_dtype), 3)[0])[0]

    return Cell(
        spec=CellSpec(
            "rg-lru",
            hidden_size,
            hidden_size,
            dtype,
            param_dtype,
            (("heads", heads), ("r_min", r_min), ("r_max", r_max)),
        ),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        recurrent_projection=linear_maps.no_recurrent_projection,
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            is_linear=True,
            jacobian=JacobianStructure.DIAGONAL,
            log_determinant=LogDeterminant(log_slopes),
            recurrent_matrices=(),
        )
    )
