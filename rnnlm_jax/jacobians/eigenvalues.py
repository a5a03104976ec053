"""Moduli of the eigenvalues of a product of Jacobians, in logarithms, right at any spread.

A plain product holds only its leading eigenvalues, and nothing computed from it can bring the others back. Here the
product is never formed: an orthonormal frame goes round the loop of factors until its leading subspaces return to
themselves, which is the QR algorithm for periodic products (Bojanczyk, Golub & Van Dooren 1992; Watkins 2007, The
Matrix Eigenvalue Problem, chapter 8). Every factor is then triangular in the frames before and after it, and the
eigenvalues stand on the diagonals, whose logarithms are summed.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import inputs_over_time, on_host, square_matrices
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.products import step_jacobians
from rnnlm_jax.jacobians.wide import arithmetic_dtype, wide

#: The most rounds of the loop: what couples neighbouring moduli g nats apart shrinks by exp(-g) a round.
MOST_ROUNDS = 300

#: The largest coupling between blocks, in n·ε, and the widest block, as a part of the nats from 1 to ε.
LOOSEST, WIDEST = 20, 0.25


class EigenvalueModuli(NamedTuple):
    """Log moduli of eigenvalues, and what vouches for them; NumPy, float64."""

    log_moduli: Float[np.ndarray, " n"]
    """Nats, descending; -inf for the zero eigenvalues of an exactly singular product."""
    residual: Float[np.ndarray, " n"]
    """First-order estimate of the error of each value, in nats: large where an eigenvalue is ill-conditioned; inf where
    -inf may be no more than rounding, which can neither make nor prove an exact zero."""
    converged: bool
    """Whether the frame came apart into blocks of near moduli, and every residual is within the tolerance."""


class _Round(NamedTuple):
    """Where the frame arrives, the triangular factors on the way, ``Σ_t ln|r_kk|`` and its rounding error."""

    frame: Float[Array, "n n"]
    r: Float[Array, "T n n"]
    log_diagonal: Float[Array, " n"]
    rounding: Float[Array, " n"]


class _Parts(NamedTuple):
    """``Z_0ᵀ Z_T``, ``Σ_t ln|r_kk|``, ``‖turn[k:, :k]‖_F`` for k = 0 … n, and the blocks."""

    turn: np.ndarray
    logs: np.ndarray
    coupling: np.ndarray
    blocks: list[slice]
    finished: bool


def eigenvalue_moduli(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"],
    tolerance: float | None = None,
    arithmetic: Any = None,
) -> EigenvalueModuli:
    """``ln|λ_k|`` of ``∂s_T / ∂s_0`` of the full state, for one sequence: a function of the host.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, unbatched (``cell.initial_state(())``).
        xs: the inputs, one sequence; its T step Jacobians are stored, in the cell's own type.
        tolerance: see ``log_eigenvalue_moduli``.
        arithmetic: likewise.

    Raises:
        UserError: if inputs or state have batch axes or do not fit the cell, or a Jacobian is not finite.
    """
    xs = inputs_over_time(cell, state, xs, batched=False)
    return log_eigenvalue_moduli(_step_jacobians(cell, params, state, xs), tolerance, arithmetic)


def log_eigenvalue_moduli(matrices: Any, tolerance: float | None = None, arithmetic: Any = None) -> EigenvalueModuli:
    """``ln|λ_k|`` of ``J_{T-1} ⋯ J_0``, descending; a function of the host around compiled rounds.

        J_t Z_t = Z_{t+1} R_t  for t = 0 … T-1,    Z_0 ← Z_T,    until Z_0ᵀ Z_T is block diagonal

    A block of one gives ``ln|λ| = Σ_t ln|r_kk|``. What the rounds do not part, complex pairs and moduli close to each
    other, stays a larger block, whose few eigenvalues are found densely from the product of the blocks of ``R_t``: that
    is right as long as the moduli in it span few nats, and the rounds go on until they do.

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any type, the first to act first.
        tolerance: nats by which any value may be off for the result to count as converged; ``n √ε`` unless given.
        arithmetic: the type to compute in; float64 unless given (float32 on a TPU).

    Raises:
        UserError: if the matrices are not square, or not finite.
    """
    matrices = np.asarray(on_host(square_matrices(matrices), "eigenvalues are computed"))
    if not matrices.shape[0]:
        raise UserError(f"expected square matrices [T, n, n], T at least 1, not an array of shape {matrices.shape}")
    if not np.isfinite(matrices.astype(np.float64)).all():
        raise UserError("the matrices are not finite: look for where they overflow or become NaN")
    dtype, n = arithmetic_dtype(arithmetic), matrices.shape[1]
    eps = float(jnp.finfo(dtype).eps)
    certain = _certain_zeros(matrices != 0)
    with wide(dtype):
        factors, exponents = _scaled(matrices)
        factors = jnp.asarray(factors, dtype)
        frame = _first_frame(n, dtype)
        done = _round(factors, frame)
        parts = _part(frame, done, eps)
        for _ in range(MOST_ROUNDS - 1):
            if parts.finished:
                break
            frame, done = done.frame, _round(factors, done.frame)
            parts = _part(frame, done, eps)
    triangular = np.asarray(done.r, np.float64)
    r = [triangular[:, block, block] for block in parts.blocks]
    values, residuals = np.full(n, -np.inf), np.zeros(n)
    rounding = np.asarray(done.rounding, np.float64)
    for block, triangles in zip(parts.blocks, r, strict=True):
        off = max(parts.coupling[block.start], parts.coupling[block.stop]) + rounding[block].max()
        if block.stop == block.start + 1:
            values[block], residuals[block] = parts.logs[block], off
        else:
            values[block], sensitivity = _dense(parts.turn[block, block], triangles)
            residuals[block] = np.where(np.isfinite(sensitivity), off * sensitivity, np.inf)
    values += exponents * np.log(2)
    order = np.argsort(-values, kind="stable")
    values, residuals = values[order], residuals[order]
    zeros = np.arange(n) >= n - certain
    residuals[zeros != (values == -np.inf)] = np.inf
    allowed = n * eps**0.5 if tolerance is None else tolerance
    return EigenvalueModuli(values, residuals, parts.finished and bool((residuals <= allowed).all()))


def _scaled(matrices: np.ndarray) -> tuple[np.ndarray, int]:
    """The matrices divided by powers of two, in float64, the largest entry of each between ½ and 1; the powers' sum."""
    matrices = matrices.astype(np.float64)
    _, exponents = np.frexp(np.abs(matrices).max(axis=(1, 2)))
    return np.ldexp(matrices, -exponents[:, None, None]), int(exponents.sum())


def _certain_zeros(nonzero: Bool[np.ndarray, "T n n"]) -> int:
    """How many eigenvalues of the product are zero because of where its factors' entries are.

    At least as many as its rank is less than n (see ``null_directions``). And an index i belongs to one if row or
    column i of the product is zero: then the others are eigenvalues of what is left without it.
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
def _first_frame(n: int, dtype: np.dtype) -> Float[Array, "n n"]:
    """In no special position."""
    return jnp.linalg.qr(jax.random.normal(jax.random.key(0), (n, n), dtype))[0]


@compiled()
def _round(matrices: Array, frame: Array) -> _Round:
    """Once round the loop. A pivot that is rounding error stands for the zero of an exactly singular product."""
    n, eps = frame.shape[0], jnp.finfo(frame.dtype).eps

    def step(frame: Array, j: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        a = j @ frame
        sizes = jnp.abs(a).max(axis=1)
        rows = jnp.argsort(-sizes)  # by size: then errors are small in each row, not only in the whole
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


def _part(frame: Array, done: _Round, eps: float) -> _Parts:
    """The blocks into which a round's result falls, and whether each of them is narrow enough for a dense solver."""
    turn, logs = np.asarray(frame.T @ done.frame, np.float64), np.asarray(done.log_diagonal, np.float64)
    n = logs.size
    sums = np.cumsum(np.cumsum(np.square(turn)[::-1], axis=0)[::-1], axis=1)  # of rows from i on, columns up to j
    coupling = np.sqrt([0.0, *(sums[k, k - 1] for k in range(1, n)), 0.0])
    live = n - int(np.isneginf(logs).sum())  # what the product maps to zero comes last
    settled = coupling <= LOOSEST * n * eps
    borders = [0, *(k for k in range(1, live) if settled[k]), live]
    blocks = [slice(a, b) for a, b in zip(borders, borders[1:], strict=False) if a < b]
    narrow = all(np.ptp(logs[block]) <= WIDEST * -np.log(eps) for block in blocks)
    return _Parts(turn, logs, coupling, blocks, bool(settled[live] and narrow))


def _dense(turn: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``ln|λ|`` of ``turn · r_{T-1} ⋯ r_0``, and by how many relative errors of that matrix each of them is off."""
    product, scale = np.eye(turn.shape[0]), 0.0
    for each in (*r, turn):
        product = each @ product
        norm = np.linalg.norm(product)
        if norm == 0:
            return np.full(len(turn), -np.inf), np.full(len(turn), np.inf)
        product, scale = product / norm, scale + np.log(norm)
    eigenvalues, vectors = np.linalg.eig(product)
    try:
        condition = np.linalg.norm(np.linalg.inv(vectors), axis=1)  # of each eigenvalue: columns have length one
    except np.linalg.LinAlgError:
        condition = np.full(eigenvalues.size, np.inf)
    with np.errstate(divide="ignore"):
        moduli = np.abs(eigenvalues)
        return np.log(moduli) + scale, condition / moduli


_step_jacobians = compiled("cell")(step_jacobians)
