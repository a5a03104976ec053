"""Log moduli of the eigenvalues of a product of Jacobians, accurate at any spread.

A plain product keeps only its leading eigenvalues. Here the product is never formed. An orthonormal frame is pushed
through all factors, again and again, until its leading subspaces return to themselves: the QR algorithm for periodic
products (Bojanczyk, Golub & Van Dooren 1992; Watkins 2007, The Matrix Eigenvalue Problem, chapter 8). Every factor is
then triangular with respect to the frames before and after it, and the log moduli are sums of the logarithms of the
diagonal entries.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import inputs_over_time, on_host, square_matrices
from rnnlm_jax.jacobians.arithmetic.float64_context import arithmetic_dtype, computing_in
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.products import step_jacobians

#: Largest number of rounds through all factors. The coupling of moduli g nats apart shrinks by exp(-g) a round.
MOST_ROUNDS = 300

#: Largest coupling between blocks, in units of n·ε, and largest width of a block, as a part of -ln ε nats.
LARGEST_COUPLING, LARGEST_WIDTH = 20, 0.25


class EigenvalueModuli(NamedTuple):
    """Log moduli of eigenvalues and estimates of their errors, as NumPy arrays in float64."""

    log_moduli: Float[np.ndarray, " n"]
    """``ln|λ_k|`` in nats, descending; -inf for the zero eigenvalues of an exactly singular product."""
    residual: Float[np.ndarray, " n"]
    """First-order estimate of the error of each value (nats): large for an ill-conditioned eigenvalue, inf for a value
    of -inf that may be a rounding error, since rounding can neither produce nor prove an exact zero."""
    converged: bool
    """Whether the values separated into blocks of near moduli, and every residual is within the tolerance."""


class _Round(NamedTuple):
    """One pass of a frame ``Z_0`` through all factors."""

    frame: Float[Array, "n n"]
    """``Z_T``."""
    r: Float[Array, "T n n"]
    """The triangular factors ``R_t``."""
    log_diagonal: Float[Array, " n"]
    """``Σ_t ln|r_kk|``."""
    rounding: Float[Array, " n"]
    """Its rounding error."""


class _Separation(NamedTuple):
    """The blocks into which the result of a round separates."""

    rotation: np.ndarray
    """``Z_0ᵀ Z_T``."""
    logs: np.ndarray
    """``Σ_t ln|r_kk|``."""
    coupling: np.ndarray
    """``‖rotation[k:, :k]‖_F`` for k = 0 … n."""
    blocks: list[slice]
    finished: bool
    """Whether the directions that are mapped to zero are separate, and every block is narrow."""


def eigenvalue_moduli(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    tolerance: float | None = None,
    arithmetic: DTypeLike | None = None,
) -> EigenvalueModuli:
    """Return ``ln|λ_k|`` of ``∂s_T / ∂s_0`` in nats, for the full state and one sequence; computed on the host.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, unbatched (``cell.initial_state(())``).
        xs: the inputs of one sequence; its T step Jacobians are stored in the cell's dtype.
        tolerance: see ``log_eigenvalue_moduli``.
        arithmetic: see ``log_eigenvalue_moduli``.

    Raises:
        ArgumentError: if inputs or state have batch axes or do not fit the cell, or a Jacobian is not finite.
    """
    xs = inputs_over_time(cell, state, xs, batched=False)
    jacobians = _step_jacobians(cell, params, state, xs)
    return log_eigenvalue_moduli(jacobians, tolerance=tolerance, arithmetic=arithmetic)


def log_eigenvalue_moduli(
    matrices: ArrayLike, *, tolerance: float | None = None, arithmetic: DTypeLike | None = None
) -> EigenvalueModuli:
    """Return ``ln|λ_k|`` of ``J_{T-1} ⋯ J_0`` in nats, descending; computed on the host, with compiled rounds.

        J_t Z_t = Z_{t+1} R_t  for t = 0 … T-1,    Z_0 ← Z_T,    until Z_0ᵀ Z_T is block diagonal

    A block of size one gives ``ln|λ| = Σ_t ln|r_kk|``. Complex pairs and moduli close to each other are not separated
    and remain a larger block, whose eigenvalues are computed by a dense solver from the product of the blocks of
    ``R_t``. That is accurate if the moduli of the block span few nats, and the iteration goes on until they do. A round
    costs O(T n³).

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any dtype, ``J_0`` applied first.
        tolerance: largest residual (nats) of a converged result; ``n √ε`` by default.
        arithmetic: "float64", the default, or "float32", the default on a TPU.

    Raises:
        ArgumentError: if the matrices are not square, or not finite.
    """
    matrices = np.asarray(on_host(square_matrices(matrices), "eigenvalues are computed"))
    if not matrices.shape[0]:
        raise ArgumentError(f"`matrices` must be square, [T, n, n] with T at least 1, not of shape {matrices.shape}")
    if not np.isfinite(matrices.astype(np.float64)).all():
        raise ArgumentError("`matrices` are not finite: look for where they overflow or become NaN")
    dtype, n = arithmetic_dtype(arithmetic), matrices.shape[1]
    eps = float(jnp.finfo(dtype).eps)
    certain = _certain_zeros(matrices != 0)
    with computing_in(dtype):
        factors, exponent = _scale(matrices)
        factors = jnp.asarray(factors, dtype)
        frame = _random_frame(n, dtype)
        last = _round(factors, frame)
        separation = _separate(frame, last, eps)
        for _ in range(MOST_ROUNDS - 1):
            if separation.finished:
                break
            frame, last = last.frame, _round(factors, last.frame)
            separation = _separate(frame, last, eps)
    triangular = np.asarray(last.r, np.float64)
    r = [triangular[:, block, block] for block in separation.blocks]
    values, residuals = np.full(n, -np.inf), np.zeros(n)
    rounding = np.asarray(last.rounding, np.float64)
    for block, triangles in zip(separation.blocks, r, strict=True):
        error = max(separation.coupling[block.start], separation.coupling[block.stop]) + rounding[block].max()
        if block.stop == block.start + 1:
            values[block], residuals[block] = separation.logs[block], error
        else:
            values[block], condition = _dense_log_moduli(separation.rotation[block, block], triangles)
            residuals[block] = np.where(np.isfinite(condition), error * condition, np.inf)
    values += exponent * np.log(2)
    order = np.argsort(-values, kind="stable")
    values, residuals = values[order], residuals[order]
    zeros = np.arange(n) >= n - certain
    residuals[zeros != (values == -np.inf)] = np.inf
    tolerated = n * eps**0.5 if tolerance is None else tolerance
    return EigenvalueModuli(values, residuals, separation.finished and bool((residuals <= tolerated).all()))


def _scale(matrices: np.ndarray) -> tuple[np.ndarray, int]:
    """Divide each matrix by a power of two, its largest entry then in [½, 1), and return the sum of the exponents."""
    matrices = matrices.astype(np.float64)
    _, exponents = np.frexp(np.abs(matrices).max(axis=(1, 2)))
    return np.ldexp(matrices, -exponents[:, None, None]), int(exponents.sum())


def _certain_zeros(nonzero: Bool[np.ndarray, "T n n"]) -> int:
    """Return a lower bound on the number of zero eigenvalues of the product, from the zero entries of its factors.

    It is at least n minus the rank (see ``certificate.null_directions``). And if row i or column i of the product is
    zero, one eigenvalue is zero and the others are those of the matrix without row and column i.
    """
    product = np.eye(nonzero.shape[1], dtype=np.float32)
    rank = nonzero.shape[1]
    for factor in nonzero:
        rank = min(rank, int((product.any(axis=1) & factor.any(axis=0)).sum()))
        product = (factor.astype(np.float32) @ product > 0).astype(np.float32)
        rank = min(rank, int(product.any(axis=1).sum()))
    while True:
        keep = np.flatnonzero(product.any(axis=0) & product.any(axis=1))
        if keep.size == len(product):
            return nonzero.shape[1] - min(rank, keep.size)
        product = product[np.ix_(keep, keep)]


@compiled("n", "dtype")
def _random_frame(n: int, dtype: np.dtype) -> Float[Array, "n n"]:
    """Return a fixed random orthogonal matrix, in general position with respect to the factors."""
    return jnp.linalg.qr(jax.random.normal(jax.random.key(0), (n, n), dtype))[0]


@compiled()
def _round(matrices: Array, frame: Array) -> _Round:
    """Push a frame through all factors; a pivot that is rounding error is taken for the zero of a singular product."""
    n, eps = frame.shape[0], jnp.finfo(frame.dtype).eps

    def step(frame: Array, j: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        a = j @ frame
        sizes = jnp.abs(a).max(axis=1)
        rows = jnp.argsort(-sizes)  # sorted by size: errors are then small relative to each row
        q, r = jnp.linalg.qr(a[rows])
        pivots = jnp.diagonal(r)
        signs = jnp.where(pivots < 0, -jnp.ones_like(pivots), jnp.ones_like(pivots))
        null = jnp.abs(pivots) <= n * eps * sizes[rows]
        logs = jnp.where(null, -jnp.inf, jnp.log(jnp.abs(pivots)))
        error = jnp.where(null, jnp.zeros_like(logs), eps * sizes[rows] / jnp.abs(pivots))
        return jnp.zeros_like(q).at[rows].set(q * signs[None, :]), (r * signs[:, None], logs, error)

    frame, (r, logs, errors) = jax.lax.scan(step, frame, matrices)
    log_diagonal = logs.sum(axis=0)
    return _Round(frame, r, log_diagonal, n * jnp.linalg.norm(errors, axis=0) + eps * jnp.abs(log_diagonal))


def _separate(frame: Array, result: _Round, eps: float) -> _Separation:
    """Return the blocks into which a round's result separates, and whether each is narrow enough for a dense solver."""
    rotation = np.asarray(frame.T @ result.frame, np.float64)
    logs = np.asarray(result.log_diagonal, np.float64)
    n = logs.size
    sums = np.cumsum(np.cumsum(np.square(rotation)[::-1], axis=0)[::-1], axis=1)  # over rows ≥ i and columns ≤ j
    coupling = np.sqrt([0.0, *(sums[k, k - 1] for k in range(1, n)), 0.0])
    live = n - int(np.isneginf(logs).sum())  # directions that are mapped to zero come last
    separate = coupling <= LARGEST_COUPLING * n * eps
    borders = [0, *(k for k in range(1, live) if separate[k]), live]
    blocks = [slice(a, b) for a, b in zip(borders, borders[1:], strict=False) if a < b]
    narrow = all(np.ptp(logs[block]) <= LARGEST_WIDTH * -np.log(eps) for block in blocks)
    return _Separation(rotation, logs, coupling, blocks, bool(separate[live] and narrow))


def _dense_log_moduli(rotation: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``ln|λ|`` of ``rotation · r_{T-1} ⋯ r_0``, and each one's relative condition number."""
    product, scale = np.eye(rotation.shape[0]), 0.0
    for each in (*r, rotation):
        product = each @ product
        norm = np.linalg.norm(product)
        if norm == 0:
            return np.full(len(rotation), -np.inf), np.full(len(rotation), np.inf)
        product, scale = product / norm, scale + np.log(norm)
    eigenvalues, vectors = np.linalg.eig(product)
    try:
        condition = np.linalg.norm(
            np.linalg.inv(vectors), axis=1
        )  # of each eigenvalue, since the eigenvectors have length one
    except np.linalg.LinAlgError:
        condition = np.full(eigenvalues.size, np.inf)
    with np.errstate(divide="ignore"):
        moduli = np.abs(eigenvalues)
        return np.log(moduli) + scale, condition / moduli


_step_jacobians = compiled("cell")(step_jacobians)
