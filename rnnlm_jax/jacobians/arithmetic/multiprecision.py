"""Singular spectra of products in integer arithmetic of any length, on the host.

Singular values of a nearly defective product (a power of a Jordan block, a delay line) are the result of cancellation
between entries far larger than themselves: 500 steps of 20 units need 270 bits. A float is an integer times a power of
two, so the product can be formed with as many bits as its least singular value needs, and with a bound on its error.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import mpmath
import numpy as np

Real = Any  # a number of mpmath, which has no type annotations

#: Bits of the first attempt, and the bits that every later one has beyond those it needs.
FIRST_BITS, SPARE_BITS = 256, 64

#: Largest error of any value, in nats.
TOLERANCE = 2.0**-60

#: Ranks are computed modulo this prime. A rank comes out too small only if the prime divides the determinants of all
#: largest nonsingular submatrices.
PRIME = 2**127 - 1


class Spectrum(NamedTuple):
    """Log singular values ``[n]`` of one product (nats, descending), and bounds ``[n]`` on their errors (nats)."""

    log_values: np.ndarray
    log_abs_det: float
    error: np.ndarray


class _Product(NamedTuple):
    """``matrix · 2^exponent`` with integer entries, and error at most ``error · 2^exponent`` in Frobenius norm."""

    matrix: np.ndarray
    exponent: int
    error: Real


class _Factor(NamedTuple):
    """``matrix · 2^exponent`` with integer entries, exactly; ``norm`` bounds the matrix's largest singular value."""

    matrix: np.ndarray
    exponent: int
    norm: Real


def spectra(matrices: np.ndarray, lags: tuple[int, ...]) -> list[Spectrum]:
    """Return the spectra of ``J_{ℓ-1} ⋯ J_0`` at the lags ℓ.

    Every value is correct to ``TOLERANCE``, and the number of values that are exactly zero is the exact rank deficiency
    (see ``PRIME``). The number of bits is raised until this holds. Where a factor is not finite, values are NaN and
    errors inf.

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` floats, ``J_0`` applied first.
        lags: numbers of factors, ascending, each from 1 to T.
    """
    finite = np.isfinite(matrices).all(axis=(1, 2)).cumprod()
    n, finite_lags = matrices.shape[1], [lag for lag in lags if finite[lag - 1]]
    factors = [_factor(matrix) for matrix in matrices[: max(finite_lags, default=0)]]
    ranks: dict[int, int] = {}
    finished: dict[int, Spectrum] = {}
    bits = FIRST_BITS
    while len(finished) < len(finite_lags):
        missing = 0
        open_lags = [lag for lag in finite_lags if lag not in finished]
        for lag, product in zip(open_lags, _products(factors, open_lags, bits), strict=True):
            values, errors = _singular_values(product, bits)
            resolved = sum(value > 2 * error for value, error in zip(values, errors, strict=True))
            if resolved < n and not ranks:
                ranks = _ranks(factors, finite_lags)
            rank = max(resolved, ranks[lag]) if ranks else n
            short = _bits_short(values[:rank], errors[:rank])
            if short > 0:
                missing = max(missing, short)
            else:
                finished[lag] = _spectrum(values, errors, rank=rank, exponent=product.exponent)
        bits += missing + SPARE_BITS
    not_finite = Spectrum(np.full(n, np.nan), math.nan, np.full(n, np.inf))
    return [finished.get(lag, not_finite) for lag in lags]


def _factor(matrix: np.ndarray) -> _Factor:
    """Convert a matrix of floats to integers exactly."""
    mantissas, exponents = np.frexp(matrix.astype(np.float64))
    lowest = int(exponents[matrix != 0].min(initial=0)) if (matrix != 0).any() else 0
    whole = np.empty(matrix.shape, object)
    for at, mantissa in np.ndenumerate(mantissas):
        whole[at] = int(mantissa * 2.0**53) << int(exponents[at] - lowest) if mantissa else 0
    size = np.abs(whole).max()
    shift = max(int(size).bit_length() - 53, 0)
    floats = np.array([[float(entry >> shift) for entry in row] for row in whole])
    norm = mpmath.mpf((np.linalg.norm(floats, 2) * (1 + 1e-9)) + len(whole))  # a shift loses less than 1 per entry
    return _Factor(whole, lowest - 53, mpmath.ldexp(norm, shift))


def _products(factors: list[_Factor], lags: list[int], bits: int) -> Iterator[_Product]:
    """Yield the product at each lag; after every factor, its largest entry is truncated to ``bits`` bits."""
    n = len(factors[0].matrix)
    matrix, exponent = np.array([[int(i == j) for j in range(n)] for i in range(n)], object), 0
    error = mpmath.mpf(0)
    yielded = set(lags)
    for step, factor in enumerate(factors[: lags[-1]], 1):
        matrix, exponent, error = factor.matrix.dot(matrix), exponent + factor.exponent, factor.norm * error
        excess = int(np.abs(matrix).max()).bit_length() - bits
        if excess > 0:
            matrix, exponent = matrix >> excess, exponent + excess
            error = mpmath.ldexp(error, -excess) + n  # each entry loses less than 1
        if step in yielded:
            yield _Product(matrix, exponent, error)


def _singular_values(product: _Product, bits: int) -> tuple[list[Real], list[Real]]:
    """Return the singular values of the integer matrix M, descending, and a bound on the error of each.

    The computed decomposition satisfies ``M = U S V + E`` with ``UᵀU = I + F`` and ``V Vᵀ = I + G``. By the theorems of
    Weyl and Ostrowski, each value s is in error by at most ``‖E‖ + s (‖F‖ + ‖G‖)`` if ‖F‖, ‖G‖ < 1; E, F and G are
    computed.
    """
    n = len(product.matrix)
    with mpmath.workprec(bits + SPARE_BITS):
        whole = mpmath.matrix(product.matrix.tolist())
        u, s, v = mpmath.svd_r(whole)
        eye = mpmath.eye(n)
        residual = _frobenius_norm(u * mpmath.diag(s) * v - whole)
        orthogonality = _frobenius_norm(u.T * u - eye) + _frobenius_norm(v * v.T - eye)
        values = sorted(s, reverse=True)
        return values, [2 * (residual + orthogonality * value) + product.error for value in values]


def _frobenius_norm(matrix: Any) -> Real:
    return mpmath.sqrt(mpmath.fsum(entry**2 for entry in matrix))


def _bits_short(values: list[Real], errors: list[Real]) -> int:
    """Return how many more bits the values need to be correct to the tolerance; 0 if they are."""
    worst = 0
    for value, error in zip(values, errors, strict=True):
        if error > TOLERANCE / 2 * value:
            lacking = mpmath.log(error / max(value, mpmath.mpf(1)) / TOLERANCE, 2)
            worst = max(worst, int(lacking) + 2)
    return worst


def _spectrum(values: list[Real], errors: list[Real], *, rank: int, exponent: int) -> Spectrum:
    n = len(values)
    log_values, bounds = np.full(n, -np.inf), np.zeros(n)
    with mpmath.workprec(128):
        logs = [mpmath.log(value) + exponent * mpmath.ln2 for value in values[:rank]]
        log_values[:rank] = [float(each) for each in logs]
        bounds[:rank] = [float(-mpmath.log1p(-e / v)) for v, e in zip(values[:rank], errors[:rank], strict=True)]
        log_abs_det = float(mpmath.fsum(logs)) if rank == n else -math.inf
    return Spectrum(log_values, log_abs_det, bounds)


def _ranks(factors: list[_Factor], lags: list[int]) -> dict[int, int]:
    """Return the rank of the product at each lag."""
    n, ranks = len(factors[0].matrix), {}
    product = np.array([[int(i == j) for j in range(n)] for i in range(n)], object)
    for step, factor in enumerate(factors, 1):
        product = (factor.matrix % PRIME).dot(product) % PRIME
        if step in lags:
            ranks[step] = _rank(product)
    return ranks


def _rank(matrix: np.ndarray) -> int:
    """Return the rank modulo the prime, by Gaussian elimination."""
    rows, rank = matrix.copy(), 0
    for column in range(rows.shape[1]):
        pivot = next((row for row in range(rank, len(rows)) if rows[row, column]), None)
        if pivot is None:
            continue
        rows[[rank, pivot]] = rows[[pivot, rank]]
        inverse = pow(int(rows[rank, column]), -1, PRIME)
        shares = rows[rank + 1 :, column] * inverse % PRIME
        rows[rank + 1 :] = (rows[rank + 1 :] - np.outer(shares, rows[rank])) % PRIME
        rank += 1
    return rank
