"""Singular spectra of products in whole numbers of any length, on the host: right where floating point loses them.

A product that is nearly defective (a power of a Jordan block, a delay line) has singular values that cancel out of
entries far larger than themselves: 500 steps of 20 units take 270 bits. Floating-point numbers are whole numbers times
powers of two, so a product can be formed with as many bits as its least singular value needs, and its error bounded.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import mpmath
import numpy as np

Real = Any  # mpmath's numbers, which have no types

#: Bits of the first attempt, and what every later one has beyond its need.
FIRST, SPARE = 256, 64

#: Nats by which no value is off.
TOLERANCE = 2.0**-60

#: Ranks are counted in the numbers modulo this prime: it would have to divide the determinant of a block to be wrong.
PRIME = 2**127 - 1


class Spectrum(NamedTuple):
    """Log singular values of one product (nats, descending), and bounds on their errors."""

    log_values: np.ndarray
    log_abs_det: float
    error: np.ndarray


class _Product(NamedTuple):
    """``matrix · 2^exponent``, whole numbers, off by at most ``error · 2^exponent`` in the Frobenius norm."""

    matrix: np.ndarray
    exponent: int
    error: Real


class _Factor(NamedTuple):
    """``matrix · 2^exponent``, whole numbers; and a bound on the largest singular value of the matrix."""

    matrix: np.ndarray
    exponent: int
    norm: Real


def spectra(matrices: np.ndarray, lags: tuple[int, ...]) -> list[Spectrum]:
    """Spectra of ``J_{ℓ-1} ⋯ J_0`` at the lags ℓ, in ascending order.

    Every value is right to ``TOLERANCE``, zeros among them, which are counted exactly. NaN, and errors of inf, where a
    factor is not finite.
    """
    finite = np.isfinite(matrices).all(axis=(1, 2)).cumprod()
    n, wanted = matrices.shape[1], [lag for lag in lags if finite[lag - 1]]
    factors = [_factor(matrix) for matrix in matrices[: max(wanted, default=0)]]
    ranks: dict[int, int] = {}
    found: dict[int, Spectrum] = {}
    bits = FIRST
    while len(found) < len(wanted):
        missing = 0
        open_lags = [lag for lag in wanted if lag not in found]
        for lag, product in zip(open_lags, _products(factors, open_lags, bits), strict=True):
            values, errors = _singular_values(product, bits)
            resolved = sum(value > 2 * error for value, error in zip(values, errors, strict=True))
            if resolved < n and not ranks:
                ranks = _ranks(factors, wanted)
            rank = max(resolved, ranks[lag]) if ranks else n
            short = _bits_short(values[:rank], errors[:rank])
            if short > 0:
                missing = max(missing, short)
            else:
                found[lag] = _spectrum(values, errors, rank, product.exponent)
        bits += missing + SPARE
    nothing = Spectrum(np.full(n, np.nan), math.nan, np.full(n, np.inf))
    return [found.get(lag, nothing) for lag in lags]


def _factor(matrix: np.ndarray) -> _Factor:
    """A matrix of floats as whole numbers, all of its digits kept."""
    mantissas, exponents = np.frexp(matrix.astype(np.float64))
    lowest = int(exponents[matrix != 0].min(initial=0)) if (matrix != 0).any() else 0
    whole = np.empty(matrix.shape, object)
    for at, mantissa in np.ndenumerate(mantissas):
        whole[at] = int(mantissa * 2.0**53) << int(exponents[at] - lowest) if mantissa else 0
    size = np.abs(whole).max()
    shift = max(int(size).bit_length() - 53, 0)
    floats = np.array([[float(entry >> shift) for entry in row] for row in whole])
    norm = mpmath.mpf((np.linalg.norm(floats, 2) * (1 + 1e-9)) + len(whole))  # each shift cuts off less than one
    return _Factor(whole, lowest - 53, mpmath.ldexp(norm, shift))


def _products(factors: list[_Factor], lags: list[int], bits: int) -> Iterator[_Product]:
    """The product at each lag, its largest entry cut to some number of bits after every factor."""
    n = len(factors[0].matrix)
    matrix, exponent = np.array([[int(i == j) for j in range(n)] for i in range(n)], object), 0
    error = mpmath.mpf(0)
    wanted = set(lags)
    for step, factor in enumerate(factors[: lags[-1]], 1):
        matrix, exponent, error = factor.matrix.dot(matrix), exponent + factor.exponent, factor.norm * error
        excess = int(np.abs(matrix).max()).bit_length() - bits
        if excess > 0:
            matrix, exponent = matrix >> excess, exponent + excess
            error = mpmath.ldexp(error, -excess) + n  # each entry loses less than one
        if step in wanted:
            yield _Product(matrix, exponent, error)


def _singular_values(product: _Product, bits: int) -> tuple[list[Real], list[Real]]:
    """Singular values of the whole matrix, and a bound on the error of each, measured: by Weyl and Ostrowski.

    ``M = U S V + E`` with ``UᵀU = I + F`` and ``V Vᵀ = I + G`` says that each value is off by at most
    ``‖E‖ + S (‖F‖ + ‖G‖)``, for ‖F‖, ‖G‖ below one.
    """
    n = len(product.matrix)
    with mpmath.workprec(bits + SPARE):
        whole = mpmath.matrix(product.matrix.tolist())
        u, s, v = mpmath.svd_r(whole)
        eye = mpmath.eye(n)
        off = _norm(u * mpmath.diag(s) * v - whole)
        share = _norm(u.T * u - eye) + _norm(v * v.T - eye)
        values = sorted(s, reverse=True)
        return values, [2 * (off + share * value) + product.error for value in values]


def _norm(matrix: Any) -> Real:
    return mpmath.sqrt(mpmath.fsum(entry**2 for entry in matrix))


def _bits_short(values: list[Real], errors: list[Real]) -> int:
    """How many more bits the values need to be right to the tolerance."""
    worst = 0
    for value, error in zip(values, errors, strict=True):
        if error > TOLERANCE / 2 * value:
            lacking = mpmath.log(error / max(value, mpmath.mpf(1)) / TOLERANCE, 2)
            worst = max(worst, int(lacking) + 2)
    return worst


def _spectrum(values: list[Real], errors: list[Real], rank: int, exponent: int) -> Spectrum:
    n = len(values)
    log_values, bounds = np.full(n, -np.inf), np.zeros(n)
    with mpmath.workprec(128):
        logs = [mpmath.log(value) + exponent * mpmath.ln2 for value in values[:rank]]
        log_values[:rank] = [float(each) for each in logs]
        bounds[:rank] = [float(-mpmath.log1p(-e / v)) for v, e in zip(values[:rank], errors[:rank], strict=True)]
        log_abs_det = float(mpmath.fsum(logs)) if rank == n else -math.inf
    return Spectrum(log_values, log_abs_det, bounds)


def _ranks(factors: list[_Factor], lags: list[int]) -> dict[int, int]:
    """The rank of the product at each lag."""
    n, found = len(factors[0].matrix), {}
    product = np.array([[int(i == j) for j in range(n)] for i in range(n)], object)
    for step, factor in enumerate(factors, 1):
        product = (factor.matrix % PRIME).dot(product) % PRIME
        if step in lags:
            found[step] = _rank(product)
    return found


def _rank(matrix: np.ndarray) -> int:
    """By elimination in the numbers modulo the prime."""
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
