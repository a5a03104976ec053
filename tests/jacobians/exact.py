"""Singular values of long products, with all the digits they need: integers for the product, mpmath for the values."""

import mpmath
import numpy as np


def product(matrices, digits):
    """``matrices[T-1] ⋯ matrices[0]`` of floats, each entry good to that many digits below the largest of its step.

    A float is a whole number of ``2^-BITS``-ths here, so that a step costs products of long by short integers.
    """
    bits = int(digits * np.log2(10)) + 64
    n = matrices.shape[-1]
    # entries are exact as multiples of 2^-shift; the running product is a whole number of 2^-bits-ths
    total = np.array([[(1 << bits) if i == j else 0 for j in range(n)] for i in range(n)], object)
    for matrix in np.asarray(matrices, np.float64):
        mantissas, exponents = np.frexp(matrix)
        low = int(exponents[matrix != 0].min(initial=0)) - 53
        whole = np.array(
            [
                [int(m * 2.0**53) << max(int(e) - 53 - low, 0) if m else 0 for m, e in zip(row, powers, strict=True)]
                for row, powers in zip(mantissas, exponents, strict=True)
            ],
            object,
        )
        total = whole.dot(total)
        total = np.array([[v >> -low if low < 0 else v << low for v in row] for row in total.tolist()], object)
    return total, bits


def log_singular_values(matrices, digits):
    """Natural logs of the singular values of the product, descending; ``digits`` must exceed the spread."""
    total, bits = product(matrices, digits)
    with mpmath.workdps(digits):
        exact = mpmath.matrix([[mpmath.ldexp(mpmath.mpf(int(v)), -bits) for v in row] for row in total.tolist()])
        values = mpmath.svd_r(exact, compute_uv=False)
        return np.array([float(mpmath.log(v)) if v else -np.inf for v in values])
