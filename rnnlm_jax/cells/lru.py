"""The linear recurrent unit, a complex diagonal recurrence in real arrays."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_number, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.errors import ArgumentError


@serialized
class LRUParams(NamedTuple):
    """Logarithms of ``-ln|λ|``, of the phase and of the input's scale γ; B, C, and the skip connection D.

    The blocks of ``w_x`` are the real and the imaginary part of B. ``w_skip`` is a diagonal ``[P]`` if inputs and
    outputs have one size, and a matrix ``[D, P]`` otherwise.
    """

    log_nu: Float[Array, " H"]
    log_theta: Float[Array, " H"]
    log_gamma: Float[Array, " H"]
    w_x: Float[Array, "D 2*H"]
    w_real: Float[Array, "H P"]
    w_imag: Float[Array, "H P"]
    w_skip: Float[Array, "*D P"]


@serialized
class LRUState(NamedTuple):
    """Real and imaginary part of the state h."""

    real: Float[Array, "*B H"]
    imag: Float[Array, "*B H"]


def check_ring(r_min: float, r_max: float) -> None:
    """Check the radii of a ring in the unit disc.

    Raises:
        ArgumentError: unless ``0 ≤ r_min < r_max ≤ 1``.
    """
    check_number("r_min", r_min)
    check_number("r_max", r_max)
    if not 0 <= r_min < r_max <= 1:
        raise ArgumentError(f"`r_min` and `r_max` must satisfy 0 <= r_min < r_max <= 1, not {r_min} and {r_max}")


def negative_log_radius(key: Key, shape: tuple[int, ...], r_min: float, r_max: float, dtype: Any) -> Array:
    """Draw ``-ln r`` of points that are uniform in the area of the ring ``r_min < r < r_max`` (lemma 3.2)."""
    smallest = float(jnp.finfo(dtype).tiny)  # a radius of one has no logarithm of its decay
    u = jax.random.uniform(key, shape, dtype, minval=smallest)
    # 1 - r² rather than r² is formed: it keeps its digits near the unit circle, where r² rounds to 1.
    return -0.5 * jnp.log1p(-((1 - r_max**2) + u * (r_max**2 - r_min**2)))


@cell_factory
def lru(
    hidden_size: int,
    output_size: int | None = None,
    *,
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[LRUParams, LRUState]:
    """Return the linear recurrent unit, LRU (Orvieto et al. 2023, sections 3.3 and 3.4, eq. 7).

    The state is complex, and its recurrence a diagonal matrix:

        h_t = λ h_{t-1} + γ B x_t,    λ = exp(-exp(ν) + i exp(θ)),    y_t = Re(C h_t) + D x_t.

    λ lies inside the unit circle whatever the parameters. At first it is uniform in the area of a ring of radii, with
    phases uniform in [0, max_phase], and ``γ = √(1 - |λ|²)``; γ is trained as ``exp`` of a parameter. Real and
    imaginary parts of B and C are Gaussian of variance 1/(2 D) and 1/H. The skip connection is a diagonal of Gaussians
    of variance 1 where the output has the size of the input, as in the code of minimal-LRU, and a matrix of variance
    1/D otherwise.

    Args:
        hidden_size: H, the number of complex units.
        output_size: P; H unless given.
        r_min: inner radius of the ring.
        r_max: outer radius of the ring.
        max_phase: largest phase, in radians.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: unless ``0 <= r_min < r_max <= 1`` and ``0 < max_phase <= 2π``, or if a size is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    width = hidden_size if output_size is None else check_size("output_size", output_size)
    check_ring(r_min, r_max)
    check_number("max_phase", max_phase)
    if not 0 < max_phase <= 2 * math.pi:
        raise ArgumentError(f"`max_phase` must be above 0 and at most 2π, not {max_phase}: it is in radians")

    def init(key: Key, input_size: int) -> LRUParams:
        check_size("input_size", input_size)
        keys = jax.random.split(key, 6)

        def gaussian(key: Key, shape: tuple[int, ...], variance: float) -> Array:
            return math.sqrt(variance) * jax.random.normal(key, shape, param_dtype)

        decay = negative_log_radius(keys[0], (hidden_size,), r_min, r_max, param_dtype)
        phase = max_phase * jax.random.uniform(keys[1], (hidden_size,), param_dtype)
        phase = jnp.maximum(phase, float(jnp.finfo(param_dtype).tiny))  # zero has no logarithm
        diagonal = input_size == width
        return LRUParams(
            log_nu=jnp.log(decay),
            log_theta=jnp.log(phase),
            log_gamma=0.5 * jnp.log(-jnp.expm1(-2 * decay)),
            w_x=gaussian(keys[2], (input_size, 2 * hidden_size), 1 / (2 * input_size)),
            w_real=gaussian(keys[3], (hidden_size, width), 1 / hidden_size),
            w_imag=gaussian(keys[4], (hidden_size, width), 1 / hidden_size),
            w_skip=gaussian(keys[5], (width,) if diagonal else (input_size, width), 1 if diagonal else 1 / input_size),
        )

    def initial_state(batch_shape: tuple[int, ...]) -> LRUState:
        shape = (*check_batch_shape(batch_shape), hidden_size)
        return LRUState(jnp.zeros(shape, param_dtype), jnp.zeros(shape, param_dtype))

    def vector_of(vector: Array, like: Array) -> Array:
        # Broadcast to all rows before the cast, so that gradients are sums over rows in their own dtype.
        return jnp.broadcast_to(vector, like.shape).astype(dtype)

    def input_projection(params: LRUParams, x: Array) -> Array:
        """Return ``Re γ B x``, ``Im γ B x`` and ``D x``, side by side: the output reads the last."""
        inputs = linear_maps.product(x, params.w_x, dtype)
        gamma = jnp.tile(jnp.exp(params.log_gamma), 2)
        if params.w_skip.ndim == 1:
            skip = vector_of(params.w_skip, x) * x.astype(dtype)
        else:
            skip = linear_maps.product(x, params.w_skip, dtype)
        return jnp.concatenate([vector_of(gamma, inputs) * inputs, skip], axis=-1)

    def recurrent_projection(params: LRUParams, state: LRUState) -> Array:
        del params
        return jnp.zeros_like(state.real)  # no unit reads another

    def update(params: LRUParams, state: LRUState, z: Array, r: Array) -> LRUState:
        del r
        radius = jnp.exp(-jnp.exp(params.log_nu))
        phase = jnp.exp(params.log_theta)
        real = over_batch(radius * jnp.cos(phase), state.real)
        imag = over_batch(radius * jnp.sin(phase), state.real)
        z_real, z_imag, _ = jnp.split(z.astype(param_dtype), [hidden_size, 2 * hidden_size], axis=-1)
        return LRUState(
            real * state.real - imag * state.imag + z_real,
            imag * state.real + real * state.imag + z_imag,
        )

    def gated_readout(params: LRUParams, state: LRUState, z: Array) -> Array:
        parts = jnp.concatenate([state.real, state.imag], axis=-1)
        weights = jnp.concatenate([params.w_real, -params.w_imag], axis=0)
        skip = z[..., 2 * hidden_size :].astype(param_dtype)
        return linear_maps.product(parts, weights, dtype).astype(param_dtype) + skip

    def log_slopes(params: LRUParams, before: LRUState, after: LRUState, z: Array, r: Array) -> Array:
        """Return ``ln|λ|²``, the determinant of a unit's rotation and scaling."""
        del after, z, r
        return jnp.broadcast_to(-2 * jnp.exp(params.log_nu), before.real.shape)

    variant = (("r_min", r_min), ("r_max", r_max), ("max_phase", max_phase))
    return Cell(
        spec=CellSpec("lru", hidden_size, width, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        recurrent_projection=recurrent_projection,
        update=update,
        gated_readout=gated_readout,
    ).with_facts(
        CellFacts(
            is_linear=True,
            jacobian=JacobianStructure.BLOCK,
            log_determinant=LogDeterminant(log_slopes),
            recurrent_matrices=(),
        )
    )
