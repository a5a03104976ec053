"""Log singular spectra with an error bound for each value, and which values are trusted."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float
from rnnlm_jax.jacobians.arguments import on_host
from rnnlm_jax.jacobians.arithmetic import compensated_sum, multiprecision
from rnnlm_jax.jacobians.arithmetic.float64_context import as_type, computing_in
from rnnlm_jax.jacobians.certificate.error_bound import ErrorSums, error_bound
from rnnlm_jax.jacobians.graded import graded_svd
from rnnlm_jax.jacobians.graded.running_product import RunningProduct
from rnnlm_jax.jacobians.graded.short_products import plain_spectrum

#: The value of ``arithmetic`` that is not a dtype.
MULTIPRECISION = "multiprecision"


class ProductSpectrum(NamedTuple):
    """Log singular values of a product of matrices, and a bound on the error of each."""

    log_singular_values: Float[Array, "*L n"]
    """``ln σ_k`` in nats, descending; -inf for the null directions of an exactly singular product."""
    log_abs_det: Float[Array, "*L"]
    """``Σ_t ln|det J_t|`` in nats, computed from each factor alone: in exact arithmetic, the sum of all ``ln σ_k``."""
    error: Float[Array, "*L n"]
    """Bound (nats) on the error of each value, rounding to its dtype included. It is inf where nothing can be claimed:
    where a factor is not finite, an error may be large, or no certificate was computed."""
    trusted: Bool[Array, "*L n"]
    """Whether the bound on the error of each value, without rounding to its dtype, is within the tolerance."""


class Accuracy(NamedTuple):
    """In which dtypes a spectrum is computed and returned, and which error is tolerated."""

    arithmetic: np.dtype
    """Dtype that the product is computed in."""
    factors: np.dtype
    """Dtype that the factors were computed in; its ε decides the default tolerance."""
    results: np.dtype
    """Dtype of the results."""
    tolerance: Float[Array, ""] | float | None = None
    """Largest error (nats) of a trusted value; ``n √ε`` if None."""
    certify: bool = True
    """Whether to bound the errors."""

    def tolerated(self, n: int) -> Float[Array, ""] | float:
        """Return the largest error (nats) of a trusted value among n."""
        return n * float(jnp.finfo(self.factors).eps) ** 0.5 if self.tolerance is None else self.tolerance


def spectrum_of_short_product(
    matrices: Array,
    log_abs_det: Float[Array, ""],
    otherwise: Callable[[], ProductSpectrum],
    *,
    accuracy: Accuracy,
) -> ProductSpectrum:
    """Return the spectrum of a few factors, with a leading axis of length 1.

    It is computed from the plain product where that is accurate, and by ``otherwise`` where it is not.

    Args:
        matrices: the factors, ``[T, n, n]`` of any real dtype, the first applied first.
        log_abs_det: the sum of their ``ln|det|``.
        otherwise: computes the spectrum by a graded product.
        accuracy: dtypes and tolerance.
    """
    plain = plain_spectrum(matrices, accuracy.arithmetic)

    def of_plain_product() -> ProductSpectrum:
        error = plain.error if accuracy.certify else None
        log_det = log_abs_det.astype(accuracy.arithmetic)
        spectrum = with_trust(plain.log_values, log_det, error, accuracy=accuracy)
        return jax.tree.map(lambda part: part[None], spectrum)

    return jax.lax.cond(plain.is_accurate, of_plain_product, otherwise)


def spectra_in_multiprecision(
    matrices: Array | np.ndarray, lags: tuple[int, ...], accuracy: Accuracy
) -> ProductSpectrum:
    """Return the spectra of ``J_{ℓ-1} ⋯ J_0`` at several lags ℓ, computed on the host; fields have a leading axis.

    Raises:
        ArgumentError: under a jax transformation.
    """
    spectra = multiprecision.spectra(np.asarray(on_host(matrices, "multiprecision is computed")), lags)
    values, log_abs_dets, errors = (np.stack(part) for part in zip(*spectra, strict=True))
    if not accuracy.certify:
        errors = np.full_like(errors, np.inf)
    trusted = errors <= accuracy.tolerated(values.shape[1])
    errors = errors + _rounding_error(values, accuracy.results)
    with computing_in(np.dtype("float64")):
        spectrum = ProductSpectrum(*(jnp.asarray(part) for part in (values, log_abs_dets, errors, trusted)))
        return as_type(spectrum, accuracy.results)


def spectra_of_products(products: RunningProduct, sums: ErrorSums | None, accuracy: Accuracy) -> ProductSpectrum:
    """Return the spectra of graded products; everything has a leading axis, one entry per product.

    Args:
        products: the products.
        sums: the sums that bound their errors, or None without a certificate.
        accuracy: dtypes and tolerance.
    """

    def one(each: tuple[RunningProduct, ErrorSums | None]) -> ProductSpectrum:
        return _spectrum_of_product(*each, accuracy)

    return jax.lax.map(one, (products, sums))


def _spectrum_of_product(running: RunningProduct, sums: ErrorSums | None, accuracy: Accuracy) -> ProductSpectrum:
    """Return the spectrum of a graded product.

    As many values are set to -inf, with error 0, as there are certain null directions, known from the zero entries of
    the factors or from a cell's closed form. Any other -inf has error inf, since rounding can neither produce nor prove
    an exact zero. If the log-determinant is finite, the product is not singular: zero entries have underflowed, and
    the null directions they suggest are ignored.
    """
    computed = graded_svd.singular_values(running.product)
    log_abs_det = compensated_sum.value(running.log_abs_det)
    n = computed.log_values.size
    known = jnp.where(jnp.isfinite(log_abs_det), 0, running.null.known)
    null = jnp.arange(n, dtype=jnp.int32) >= n - known
    values = jnp.where(null & ~jnp.isnan(computed.log_values), -jnp.inf, computed.log_values)
    error = None
    if sums is not None:
        error = error_bound(sums, *jax.lax.stop_gradient((running.product, computed)))
        error = jnp.where(null, jnp.where(jnp.isnan(values), jnp.inf, 0), jnp.where(values == -jnp.inf, jnp.inf, error))
    return with_trust(values, log_abs_det, error, accuracy=accuracy)


def with_trust(
    values: Float[Array, " n"], log_abs_det: Float[Array, ""], error: Float[Array, " n"] | None, *, accuracy: Accuracy
) -> ProductSpectrum:
    """Return a spectrum in the dtype of the results, with the values that are trusted; none if ``error`` is None."""
    if error is None:
        error = jnp.full_like(values, jnp.inf)
    trusted = error <= accuracy.tolerated(values.size)
    error = error + _rounding_error(values, accuracy.results)
    return as_type(ProductSpectrum(values, log_abs_det, error, trusted), accuracy.results)


def _rounding_error(values: Array | np.ndarray, results: np.dtype) -> Array:
    """Bound the error (nats) of casting values to the dtype of the results."""
    return float(jnp.finfo(results).eps) * jnp.where(jnp.isfinite(values), jnp.abs(values), 0)
