"""Covariant Lyapunov vectors: directions that the Jacobians map to one another, each with its own exponent.

They are computed by the method of Ginelli et al. (2007; 2013): a frame is pushed forwards with QR decompositions, and
upper triangular coefficients are pulled backwards through the triangular factors.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Float, Key, Tree
from rnnlm_jax.arrays.power_of_two import scale_by_power_of_two
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import (
    check_at_least_32_bits,
    inputs_over_time,
    result_dtype,
    square_matrices,
)
from rnnlm_jax.jacobians.arithmetic.norms import norm
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.tangent_frames import Push, cell_push, check_count, decompose, random_frame


class CovariantVectors(NamedTuple):
    """k covariant Lyapunov vectors at N + 1 successive states, and their growth over the N steps between these.

    Column j has the j-th largest exponent, once the transients are long enough; NaN if that exponent is -inf.
    """

    vectors: Float[Array, "_ n k"]
    """Unit vectors ``v`` in columns, at the states ``s_t`` for t = ``burn_in`` … T - ``burn_out``."""
    log_growth: Float[Array, "N k"]
    """``ln‖J_t v_{t-1}‖`` of each step, in nats: ``J_t v_{t-1} = exp(log_growth) v_t``."""

    def exponents(self) -> Float[Array, " k"]:
        """Return the means of ``log_growth`` over the steps, nats per step: Lyapunov exponents."""
        return self.log_growth.mean(axis=0)

    def participation_ratios(self) -> Float[Array, "_ k"]:
        """Return ``1 / Σ_i p_i²`` of each vector, with ``p_i = v_i²``: the number of entries that take part in it.

        It lies between 1, for one entry, and n, for all to the same extent.
        """
        return 1 / jnp.square(jnp.square(self.vectors)).sum(axis=1)

    def angles(self) -> Float[Array, "_ k k"]:
        """Return the angle between any two vectors at each state, in radians from 0 to π/2, without regard to sign.

        Angles near 0 belong to near tangencies between directions of growth and decay; they keep their digits.
        """
        return _angles(self.vectors)


def covariant_vectors(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    key: Key,
    burn_in: int,
    burn_out: int,
    count: int | None = None,
) -> CovariantVectors:
    """Return the covariant Lyapunov vectors of the k largest exponents of a cell driven by inputs.

        J_t Q_{t-1} = Q_t R_t,    C_{t-1} = R_t⁻¹ C_t D_t,    v_t = Q_t C_t,    J_t v_{t-1} = v_t D_t

    R and C are upper triangular; D is diagonal and makes the columns of C unit vectors (Ginelli et al. 2007). The
    relation ``J_t v_{t-1} ∝ v_t`` holds at every step up to rounding errors. That v_t are the covariant vectors, and
    not other vectors which the Jacobians map to one another, takes transients at both ends: over ``burn_in`` steps the
    random frame turns to the directions that grow most, with errors that shrink as ``exp(-(λ_j - λ_{j+1}) t)``, and
    over ``burn_out`` steps, backwards from random coefficients, C turns to the covariant vectors at the same rate. A
    few times ``36 / (λ_j - λ_{j+1})`` steps give float64 all its digits. Vectors of equal exponents span a space that
    is covariant, and are one choice in it.

    Where the Jacobians are singular (an exponent of -inf, see ``lyapunov_spectrum``), steps cannot be inverted, and
    the vectors of the null directions are NaN.

    It costs O(T n² k), and stores n k numbers for each of the N + 1 states and k² for each step after burn-in.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched; ``vmap`` for more.
        xs: the inputs of one sequence.
        key: random key of the first frame and the last coefficients.
        burn_in: number of leading steps that are left out.
        burn_out: number of last steps that are left out.
        count: k, the number of vectors; n by default.

    Raises:
        ArgumentError: if fewer than one step remains between the transients, a number is out of range, or inputs or
            state have batch axes or do not fit the cell.
    """
    check_at_least_32_bits(cell)
    n, xs = state_size(cell), inputs_over_time(cell, state, xs, batched=False)
    count = check_count(n if count is None else count, n)
    sizes = _check_transients(xs.shape[0], burn_in, burn_out)
    return _covariant_vectors(cell, params, state, xs, key=key, count=count, sizes=sizes)


@compiled("cell", "count", "sizes")
def _covariant_vectors(
    cell: Cell, params: Tree, state: Tree, xs: Array, *, key: Key, count: int, sizes: tuple[int, int]
) -> CovariantVectors:
    k_frame, k_coefficients = jax.random.split(key)
    frame = random_frame(k_frame, state_size(cell), count, cell.spec.param_dtype)
    zs = cell.input_projection(params, xs)
    return _both_passes(cell_push(cell, params), state, frame, inputs=zs, key=k_coefficients, sizes=sizes)


def covariant_of_matrices(
    matrices: ArrayLike, *, key: Key, burn_in: int, burn_out: int, count: int | None = None
) -> CovariantVectors:
    """Return the covariant Lyapunov vectors of a product ``… J_1 J_0`` of given matrices, see ``covariant_vectors``.

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any dtype, ``J_0`` applied first.
        key: see ``covariant_vectors``.
        burn_in: see ``covariant_vectors``.
        burn_out: see ``covariant_vectors``.
        count: see ``covariant_vectors``.

    Returns:
        the vectors before ``J_{burn_in}``, …, after ``J_{T - burn_out - 1}``, in the dtype that
        ``lyapunov_of_matrices`` has.

    Raises:
        ArgumentError: if the matrices are not square, not real, or have batch axes; see also ``covariant_vectors``.
    """
    matrices = square_matrices(matrices)
    matrices = jnp.asarray(matrices, result_dtype(matrices.dtype))
    steps, n, _ = matrices.shape
    count = check_count(n if count is None else count, n)
    return _of_matrices(matrices, key, count=count, sizes=_check_transients(steps, burn_in, burn_out))


@compiled("count", "sizes")
def _of_matrices(matrices: Array, key: Key, *, count: int, sizes: tuple[int, int]) -> CovariantVectors:
    k_frame, k_coefficients = jax.random.split(key)
    scaled = scale_by_power_of_two(matrices)
    frame = random_frame(k_frame, matrices.shape[1], count, matrices.dtype)

    def push(state: None, frame: Array, j: Array) -> tuple[None, Array]:
        return state, jnp.matmul(j, frame, precision="highest")

    found = _both_passes(push, None, frame, inputs=scaled.matrix, key=k_coefficients, sizes=sizes)
    burn_in, burn_out = sizes
    exponents = scaled.exponent[burn_in : matrices.shape[0] - burn_out].astype(matrices.dtype)
    log_scales = exponents * jnp.log(jnp.full((), 2, matrices.dtype))
    return found._replace(log_growth=found.log_growth + log_scales[:, None])


class _Forwards(NamedTuple):
    """One step of the forward pass: ``J_t Q_{t-1} = 2^exponent Q_t R_t``."""

    r: Float[Array, "*N k k"]
    log_scale: Float[Array, "*N"]
    rounded: Bool[Array, "*N k"]


def _both_passes(
    push: Push, state: Tree, frame: Float[Array, "n k"], *, inputs: Array, key: Key, sizes: tuple[int, int]
) -> CovariantVectors:
    """Push a frame forwards along the inputs ``[T, ...]``, and random triangular coefficients back."""
    burn_in, burn_out = sizes
    end = inputs.shape[0] - burn_out

    def forwards(carry: tuple[Tree, Array], each: Array) -> tuple[tuple[Tree, Array], _Forwards]:
        state, pushed = push(*carry, each)
        scaled = scale_by_power_of_two(pushed)
        q, r, rounded = decompose(scaled.matrix)
        log_scale = scaled.exponent.astype(frame.dtype) * jnp.log(jnp.full((), 2, frame.dtype))
        return (state, q), _Forwards(r, log_scale, rounded)

    def kept(carry: tuple[Tree, Array], each: Array) -> tuple[tuple[Tree, Array], tuple[_Forwards, Array]]:
        after, step = forwards(carry, each)
        return after, (step, after[1])

    at_start, _ = jax.lax.scan(lambda carry, each: (forwards(carry, each)[0], None), (state, frame), inputs[:burn_in])
    at_end, (steps, frames) = jax.lax.scan(kept, at_start, inputs[burn_in:end])
    _, last_steps = jax.lax.scan(forwards, at_end, inputs[end:])

    count = frame.shape[1]
    rounded = jnp.concatenate([steps.rounded, last_steps.rounded])
    null = rounded.mean(axis=0, dtype=frame.dtype) > 0.5
    random = jnp.triu(jax.random.normal(key, (count, count), frame.dtype))

    def backwards(after: Array, step: _Forwards) -> tuple[Array, tuple[Array, Array]]:
        """Return the coefficients before a step, and the logs of the lengths by which it stretches these vectors."""
        pivots = jnp.where(null, jnp.ones((), frame.dtype), jnp.diagonal(step.r))
        triangle = jnp.triu(step.r, 1) + jnp.diag(pivots)
        before, lengths = _unit_columns(jax.scipy.linalg.solve_triangular(triangle, after))
        return before, (before, step.log_scale - jnp.log(lengths))

    at_end_of_vectors, _ = jax.lax.scan(backwards, _unit_columns(random)[0], last_steps, reverse=True)
    _, (coefficients, log_growth) = jax.lax.scan(backwards, at_end_of_vectors, steps, reverse=True)
    coefficients = jnp.concatenate([coefficients, at_end_of_vectors[None]])
    frames = jnp.concatenate([at_start[1][None], frames])
    vectors = jnp.matmul(frames, coefficients, precision="highest")
    # A vector's coefficients belong to its own and earlier columns, so that those before a null one are exact.
    undefined = jnp.cumsum(null.astype(jnp.int32)) > 0
    nan = jnp.full((), jnp.nan, frame.dtype)
    return CovariantVectors(
        jnp.where(undefined[None, None, :], nan, vectors), jnp.where(undefined[None, :], nan, log_growth)
    )


def _unit_columns(columns: Float[Array, "k k"]) -> tuple[Float[Array, "k k"], Float[Array, " k"]]:
    """Return the columns divided by their lengths, and the lengths."""
    lengths = norm(columns.T)
    return columns / lengths[None, :], lengths


@compiled()
def _angles(vectors: Float[Array, "N n k"]) -> Float[Array, "N k k"]:
    def at_state(vectors: Array) -> Array:
        columns = vectors.T

        def to_all(one: Array) -> Array:
            difference, total = norm(columns - one[None, :]), norm(columns + one[None, :])
            return 2 * jnp.arctan2(jnp.minimum(difference, total), jnp.maximum(difference, total))

        return jax.vmap(to_all)(columns)

    return jax.lax.map(at_state, vectors)


def _check_transients(steps: int, burn_in: int, burn_out: int) -> tuple[int, int]:
    if burn_in < 0 or burn_out < 0 or burn_in + burn_out >= steps:
        raise ArgumentError(
            f"`burn_in` {burn_in} and `burn_out` {burn_out} must be at least 0 and leave at least one of the {steps} "
            "steps between them"
        )
    return burn_in, burn_out
