"""The singular spectrum of a product of given matrices, in logarithms, with a bound on the error of each value."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array
from rnnlm_jax.jacobians.arguments import ascending_lags, result_dtype, square_matrices
from rnnlm_jax.jacobians.arithmetic.float64_context import arithmetic_dtype, computing_in
from rnnlm_jax.jacobians.arithmetic.float64_program import float64_program
from rnnlm_jax.jacobians.arithmetic.log_abs_det import log_abs_det
from rnnlm_jax.jacobians.certificate.certified_spectrum import (
    MULTIPRECISION,
    Accuracy,
    ProductSpectrum,
    spectra_in_multiprecision,
    spectra_of_products,
    spectrum_of_short_product,
)
from rnnlm_jax.jacobians.certificate.error_bound import StepRecord
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.graded.products_at_lags import products_at_lags
from rnnlm_jax.jacobians.graded.running_product import RunningProduct, empty_product, multiply_factor
from rnnlm_jax.jacobians.graded.short_products import MOST_FACTORS
from rnnlm_jax.jacobians.graded.spectrum_jvp import constant_where_infinite, with_derivative


def product_spectrum(
    matrices: ArrayLike,
    *,
    lags: Sequence[int] | None = None,
    tolerance: float | None = None,
    arithmetic: DTypeLike | None = None,
    certify: bool = True,
) -> ProductSpectrum:
    """Return the log singular values of ``P = J_{T-1} ⋯ J_0`` in nats, at any length, by a graded product.

    With ``lags``, those of the products of the first ℓ factors, ``J_{ℓ-1} ⋯ J_0``, for each lag ℓ, in one pass.

    It costs O(T n³). Every value has a bound on its error, to first order in the rounding errors of all steps (see
    ``certificate.error_bound``), and is ``trusted`` where that bound is within the tolerance.

    It can be transformed by ``vmap``, ``jit`` and both modes of differentiation in any order, also where x64 is off.
    Derivatives of the values are accurate at any length and spread (see ``graded.singular_value_derivatives``) and
    store 8 n² numbers a step. For equal values they belong to one choice of singular vectors; for values of -inf and
    for the error bounds they are 0.

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any dtype, ``J_0`` applied first.
        lags: numbers of factors, each from 1 to T, or None for the product of all.
        tolerance: largest error (nats) of a trusted value; ``n √ε`` by default.
        arithmetic: "float32"; "float64", the default where the platform has it; or "multiprecision": as many bits as
            the values need, on the host, outside of jax's transformations. That takes seconds, and every value is
            correct, also those of nearly defective products (see ``arithmetic.multiprecision``).
        certify: whether to bound the errors. This takes two to five times as long and stores 4 n² numbers a step (for
            long products, those of about √T steps at a time).

    Returns:
        fields in the matrices' dtype; float32 for narrower dtypes, jax's default for integers and booleans. With
        ``lags`` they have a leading axis, one entry per lag in ascending order.

    Raises:
        ArgumentError: if the matrices are not square, not real, or have batch axes; if a lag is not between 1 and T;
            under a transformation if ``arithmetic`` is "multiprecision".
    """
    matrices = square_matrices(matrices)
    results = result_dtype(matrices.dtype)
    if lags is not None:
        chosen = ascending_lags(lags, matrices.shape[0], "matrices")
    else:
        if matrices.shape[0] == 0:
            matrices = np.eye(matrices.shape[1], dtype=matrices.dtype)[None]
        chosen = (matrices.shape[0],)
    if arithmetic == MULTIPRECISION:
        accuracy = Accuracy(np.dtype("float64"), results, results, tolerance, certify)
        spectra = spectra_in_multiprecision(matrices, chosen, accuracy)
    else:
        dtype = arithmetic_dtype(arithmetic, MULTIPRECISION)
        with computing_in(dtype):
            spectra = _product_spectra(matrices, tolerance, lags=chosen, dtype=dtype, results=results, certify=certify)
    return spectra if lags is not None else jax.tree.map(lambda part: part[0], spectra)


@compiled("lags", "dtype", "results", "certify")
@constant_where_infinite
@float64_program("lags", "dtype", "results", "certify")
def _product_spectra(
    matrices: Array | np.ndarray,
    tolerance: float | None,
    *,
    lags: tuple[int, ...],
    dtype: np.dtype,
    results: np.dtype,
    certify: bool,
) -> ProductSpectrum:
    accuracy = Accuracy(dtype, dtype, results, tolerance, certify)
    return spectra_of_matrices(jnp.asarray(matrices), lags, accuracy)


def spectra_of_matrices(
    matrices: Array, lags: tuple[int, ...], accuracy: Accuracy, *, copies: int = 1
) -> ProductSpectrum:
    """Return the spectra of the products of the first ℓ of T matrices, at several lags ℓ; fields have a leading axis.

    Args:
        matrices: the factors, ``[T, n, n]`` of any real dtype.
        lags: ascending, from 1 to T.
        accuracy: dtypes and tolerance.
        copies: number of products that the caller computes at once (``vmap``), which share the memory for records.
    """
    dtype = accuracy.arithmetic
    matrices = matrices[: lags[-1]]

    def step(running: RunningProduct, j: Array) -> tuple[RunningProduct, StepRecord]:
        return multiply_factor(running, j, dtype)

    def compute(inputs: tuple[Array, Any]) -> ProductSpectrum:
        matrices, tolerance = inputs
        with_tolerance = accuracy._replace(tolerance=tolerance)

        def by_graded_product() -> ProductSpectrum:
            empty = empty_product(matrices.shape[1], dtype)
            products = products_at_lags(step, empty, matrices, lags=lags, certify=accuracy.certify, copies=copies)
            return spectra_of_products(*products, accuracy=with_tolerance)

        if lags[0] != lags[-1] or lags[-1] > MOST_FACTORS:
            return by_graded_product()
        total = log_abs_dets(inputs).sum()
        return spectrum_of_short_product(matrices, total, by_graded_product, accuracy=with_tolerance)

    def factors(inputs: tuple[Array, Any]) -> Array:
        return inputs[0].astype(dtype)

    def log_abs_dets(inputs: tuple[Array, Any]) -> Array:
        return jax.vmap(log_abs_det)(factors(inputs))

    inputs = (matrices, accuracy.tolerance)
    return with_derivative(compute, factors=factors, log_abs_dets=log_abs_dets, lags=lags, dtype=dtype, inputs=inputs)
