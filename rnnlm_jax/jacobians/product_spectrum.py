"""The singular spectrum of a product of matrices, in logarithms, with a bound on the error of each value."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float
from rnnlm_jax.jacobians import compensated, error_bound, graded_svd, multiprecision
from rnnlm_jax.jacobians.arguments import on_host, result_dtype, square_matrices
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.differentiable import infinite_are_constant, with_derivative
from rnnlm_jax.jacobians.log_abs_det import log_abs_det
from rnnlm_jax.jacobians.recorded_steps import along
from rnnlm_jax.jacobians.running_product import Running, extend, start
from rnnlm_jax.jacobians.short_products import MOST_FACTORS, plain_spectrum
from rnnlm_jax.jacobians.wide import arithmetic_dtype, as_type, wide
from rnnlm_jax.jacobians.wide_program import wide_program

#: The ``arithmetic`` that is no type.
MULTIPRECISION = "multiprecision"


class ProductSpectrum(NamedTuple):
    """Log singular values of a product, and how far each may be off."""

    log_singular_values: Float[Array, " n"]
    """Nats, descending; -inf for the null directions of an exactly singular product."""
    log_abs_det: Float[Array, ""]
    """``Σ_t log|det J_t|``, computed from each factor alone: what the values must sum to."""
    error: Float[Array, " n"]
    """Bound (nats) on the error of each value, see ``error_bound``; inf where nothing can be said, where a factor is
    not finite, and without a certificate."""
    trusted: Bool[Array, " n"]
    """Whether each value is right to the tolerance, but for the rounding of the value to its type."""


def product_spectrum(
    matrices: Any, tolerance: float | None = None, arithmetic: Any = None, certify: bool = True
) -> ProductSpectrum:
    """Log singular values of ``J_{T-1} ⋯ J_0``, at any length, by a graded product (see ``graded``).

    It can be transformed by ``vmap``, ``jit`` and both modes of differentiation in any order, also where x64 is off.
    Derivatives of the values are right at any length and spread (see ``sensitivities``); those of equal values belong
    to one choice of vectors, those of -inf are 0, and so are those of the certificate. They store 8 n² numbers a step.

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any type, the first to act first.
        tolerance: nats by which a value may be off for it to be trusted; ``n √ε`` unless given.
        arithmetic: "float32" or "float64" (so unless given, see ``wide``), or "multiprecision": as many bits as the
            values need, on the host, outside of jax's transformations. It takes seconds, and every value is right,
            those of nearly defective products too (see ``multiprecision``).
        certify: whether to bound the errors, which takes two to five times as long and stores 4 n² numbers a step (of
            long products, about √T of them at a time).

    Returns:
        floats of the matrices' type; float32 for narrower ones, jax's default for whole numbers and booleans.

    Raises:
        UserError: if the matrices are not square, not real, or have batch axes; under a transformation where
            "multiprecision" is asked for.
    """
    matrices = square_matrices(matrices)
    results = result_dtype(matrices.dtype)
    if matrices.shape[0] == 0:
        matrices = np.eye(matrices.shape[1], dtype=matrices.dtype)[None]
    if arithmetic == MULTIPRECISION:
        found = in_multiprecision(matrices, (matrices.shape[0],), tolerance, results, certify)
        return jax.tree.map(lambda part: part[0], found)
    dtype = arithmetic_dtype(arithmetic, MULTIPRECISION)
    with wide(dtype):
        return _product_spectrum(matrices, tolerance, dtype, results, certify)


@compiled("dtype", "results", "certify")
@infinite_are_constant
@wide_program("dtype", "results", "certify")
def _product_spectrum(
    matrices: Array, tolerance: float | None, dtype: np.dtype, results: np.dtype, certify: bool
) -> ProductSpectrum:
    def step(running: Running, j: Array) -> tuple[Running, error_bound.Step]:
        return extend(running, j, dtype)

    def compute(inputs: tuple[Array, float | None]) -> ProductSpectrum:
        matrices, tolerance = inputs

        def by_graded_product() -> ProductSpectrum:
            found = along(step, start(matrices.shape[1], dtype), matrices, lags, certify)
            return finished(found, dtype, results, tolerance)

        if lags[0] > MOST_FACTORS:
            return by_graded_product()
        total = log_abs_dets(inputs).sum()
        return short_product(matrices, total, by_graded_product, dtype, dtype, results, tolerance, certify)

    def factors(inputs: tuple[Array, Any]) -> Array:
        return inputs[0].astype(dtype)

    def log_abs_dets(inputs: tuple[Array, Any]) -> Array:
        return jax.vmap(log_abs_det)(factors(inputs))

    lags = (matrices.shape[0],)
    inputs = (jnp.asarray(matrices), tolerance)
    found = with_derivative(compute, factors, log_abs_dets, lags, dtype, inputs)
    return jax.tree.map(lambda part: part[0], found)


def short_product(
    matrices: Float[Array, "T n n"],
    log_abs_det: Float[Array, ""],
    otherwise: Callable[[], ProductSpectrum],
    dtype: np.dtype,
    precision: Any,
    results: np.dtype,
    tolerance: float | None,
    certify: bool,
) -> ProductSpectrum:
    """The spectrum of a few factors, with a leading axis: by a plain product where that is good, ``otherwise`` else."""
    plain = plain_spectrum(matrices, dtype)

    def as_it_is() -> ProductSpectrum:
        error = plain.error if certify else None
        found = judged(plain.log_values, log_abs_det.astype(dtype), error, precision, results, tolerance)
        return jax.tree.map(lambda part: part[None], found)

    return jax.lax.cond(plain.good, as_it_is, otherwise)


def in_multiprecision(
    matrices: Array | np.ndarray, lags: tuple[int, ...], tolerance: float | None, results: np.dtype, certify: bool
) -> ProductSpectrum:
    """The spectra of ``J_{ℓ-1} ⋯ J_0`` at several lags; everything has a leading axis.

    Raises:
        UserError: if jax is tracing.
    """
    found = multiprecision.spectra(np.asarray(on_host(matrices, "multiprecision is computed")), lags)
    values, log_abs_dets, errors = (np.stack(part) for part in zip(*found, strict=True))
    if not certify:
        errors = np.full_like(errors, np.inf)
    trusted = errors <= (_allowed(values.shape[1], results) if tolerance is None else tolerance)
    errors = errors + _rounding(values, results)
    with wide(np.dtype("float64")):
        spectrum = ProductSpectrum(*(jnp.asarray(part) for part in (values, log_abs_dets, errors, trusted)))
        return as_type(spectrum, results)


def finished(
    found: tuple[Running, error_bound.Sums | None], precision: Any, results: np.dtype, tolerance: float | None = None
) -> ProductSpectrum:
    """The spectra of products, one after the other: everything has a leading axis.

    Args:
        found: the products, and what bounds their errors.
        precision: the type that the factors were computed in, whose ε decides what is trusted.
        results: the type of the results.
        tolerance: see ``product_spectrum``.
    """

    def one(each: tuple[Running, error_bound.Sums | None]) -> ProductSpectrum:
        return _finished(*each, precision, results, tolerance)

    return jax.lax.map(one, found)


def _finished(
    running: Running, sums: error_bound.Sums | None, precision: Any, results: np.dtype, tolerance: float | None
) -> ProductSpectrum:
    """The spectrum of a product.

    As many values are -inf as null directions follow from the zeros of the factors or from a cell's closed form, and
    these are certain: rounding alone can neither make nor prove an exact zero, so that any other -inf is not trusted.
    Zeros in a cell's Jacobian that have underflowed are none: then the determinant's closed form is finite.
    """
    found = graded_svd.singular_values(running.product)
    log_abs_det = compensated.value(running.log_abs_det)
    n = found.log_values.size
    known = jnp.where(jnp.isfinite(log_abs_det), 0, running.null.known)
    null = jnp.arange(n, dtype=jnp.int32) >= n - known
    values = jnp.where(null & ~jnp.isnan(found.log_values), -jnp.inf, found.log_values)
    error = None
    if sums is not None:
        error = error_bound.bound(sums, *jax.lax.stop_gradient((running.product, found)))
        error = jnp.where(null, jnp.where(jnp.isnan(values), jnp.inf, 0), jnp.where(values == -jnp.inf, jnp.inf, error))
    return judged(values, log_abs_det, error, precision, results, tolerance)


def judged(
    values: Array, log_abs_det: Array, error: Array | None, precision: Any, results: np.dtype, tolerance: float | None
) -> ProductSpectrum:
    """A spectrum in the type of the results, and which of its values are trusted: none where errors are not known."""
    if error is None:
        error = jnp.full_like(values, jnp.inf)
    trusted = error <= (_allowed(values.size, precision) if tolerance is None else tolerance)
    return as_type(ProductSpectrum(values, log_abs_det, error + _rounding(values, results), trusted), results)


def _allowed(n: int, precision: Any) -> float:
    """Nats by which a value may be off to be trusted, unless the caller says so."""
    return n * float(jnp.finfo(precision).eps) ** 0.5


def _rounding(values: Any, results: np.dtype) -> Any:
    """What values lose on their way into the type of the results."""
    return float(jnp.finfo(results).eps) * jnp.where(jnp.isfinite(values), jnp.abs(values), 0)
