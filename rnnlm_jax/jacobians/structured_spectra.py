"""Singular spectra of products of diagonal and block-diagonal Jacobians, without matrices of the whole state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float
from rnnlm_jax.jacobians.arithmetic import compensated_sum
from rnnlm_jax.jacobians.arithmetic.compensated_sum import CompensatedSum
from rnnlm_jax.jacobians.certificate.certified_spectrum import Accuracy, ProductSpectrum, with_trust
from rnnlm_jax.jacobians.certificate.merged_spectra import BoundedValues, bounds_of_blocks, merge
from rnnlm_jax.jacobians.log_determinant import LogSlopes
from rnnlm_jax.jacobians.product_spectrum import spectra_of_matrices

#: A sum of T logarithms is off by at most ``SUM_ERROR ε (1 + T ε) Σ|ln|``: a logarithm by two units in the last place,
#: 2 ε |ln|, its rounding to the dtype of the sum by ε/2, the compensated sum by ``ε + T ε²`` times Σ|ln|.
SUM_ERROR = 4


def spectra_of_diagonals(slopes: LogSlopes, lags: tuple[int, ...], accuracy: Accuracy) -> ProductSpectrum:
    """Return the spectra of the products of the first ℓ of T diagonal matrices, at several lags ℓ.

    ``ln σ`` are the sums of ``ln|entry|``, sorted; -inf where an entry is zero, with the error 0. They cost O(n) a
    step, and each has a bound on its error, ``SUM_ERROR``, at any length.

    Args:
        slopes: logarithms of the entries, ``[T, n]``.
        lags: ascending, from 1 to T.
        accuracy: dtypes and tolerance.
    """
    dtype, eps = accuracy.arithmetic, float(jnp.finfo(accuracy.arithmetic).eps)
    n, steps = slopes.logs.shape[-1], lags[-1]
    # The sums are written to the row of the next lag; later ones overwrite them until that lag is reached.
    rows = jnp.asarray(np.searchsorted(lags, np.arange(1, steps + 1)), jnp.int32)
    none = jnp.zeros(n, bool)
    empty = _Sums(compensated_sum.zero(dtype, (n,)), jnp.zeros(n, dtype), none, none)
    kept = jax.tree.map(lambda part: jnp.zeros((len(lags), *part.shape), part.dtype), empty)

    def step(carry: tuple[_Sums, _Sums], each: tuple[LogSlopes, Array]) -> tuple[tuple[_Sums, _Sums], None]:
        (running, kept), (slopes, row) = carry, each
        logs = jnp.where(slopes.zero, jnp.zeros((), dtype), slopes.logs.astype(dtype))
        running = _Sums(
            compensated_sum.add(running.logs, logs),
            running.sizes + jnp.abs(jax.lax.stop_gradient(logs)),
            running.zero | slopes.zero,
            running.unresolved | slopes.unresolved,
        )
        return (running, jax.tree.map(lambda rows, new: rows.at[row].set(new), kept, running)), None

    slopes = jax.tree.map(lambda part: part[:steps], slopes)
    (_, kept), _ = jax.lax.scan(step, (empty, kept), (slopes, rows))

    def at_lag(sums: _Sums, lag: Array) -> ProductSpectrum:
        values = compensated_sum.value(sums.logs)
        values = jnp.where(sums.zero, jnp.where(jnp.isfinite(values), -jnp.inf, jnp.nan), values)
        fixed = jax.lax.stop_gradient(values)
        error = SUM_ERROR * eps * (1 + eps * lag.astype(dtype)) * sums.sizes
        known = ~(jnp.isnan(fixed) | (fixed == jnp.inf))
        lower = jnp.where(known & (~sums.unresolved | sums.zero), fixed - error, -jnp.inf)
        upper = jnp.where(known, fixed + error, jnp.inf)
        merged, error = merge(BoundedValues(values, lower, upper))
        return with_trust(merged, values.sum(), error if accuracy.certify else None, accuracy=accuracy)

    return jax.vmap(at_lag)(kept, jnp.asarray(lags, jnp.int32))


def spectra_of_blocks(
    blocks: Float[Array, "T N m m"], log_abs_dets: Float[Array, " T"], lags: tuple[int, ...], accuracy: Accuracy
) -> ProductSpectrum:
    """Return the spectra of the products of the first ℓ of T block-diagonal matrices, at several lags ℓ.

    The product of each block is graded by itself, O(T N m³) in all, and the values of all blocks are merged.

    Args:
        blocks: the N blocks of each matrix, in any real dtype.
        log_abs_dets: ``ln|det|`` of each matrix.
        lags: ascending, from 1 to T.
        accuracy: dtypes and tolerance.
    """
    dtype, count = accuracy.arithmetic, blocks.shape[1]
    of_block = accuracy._replace(results=dtype, tolerance=None)

    def one_block(matrices: Array) -> ProductSpectrum:
        return spectra_of_matrices(matrices, lags, of_block, copies=count)

    bounded = bounds_of_blocks(jax.vmap(one_block, in_axes=1, out_axes=1)(blocks))
    totals = running_sums(log_abs_dets.astype(dtype))[np.asarray(lags, np.int32) - 1]

    def one(at_lag: tuple[BoundedValues, Array]) -> ProductSpectrum:
        values, error = merge(jax.tree.map(jnp.ravel, at_lag[0]))
        return with_trust(values, at_lag[1], error if accuracy.certify else None, accuracy=accuracy)

    return jax.vmap(one)((bounded, totals))


def running_sums(terms: Float[Array, "T *n"]) -> Float[Array, "T *n"]:
    """Return ``Σ_{t ≤ ℓ} terms[t]`` for every ℓ, by compensated summation."""

    def step(running: CompensatedSum, term: Array) -> tuple[CompensatedSum, Array]:
        running = compensated_sum.add(running, term)
        return running, compensated_sum.value(running)

    return jax.lax.scan(step, compensated_sum.zero(terms.dtype, terms.shape[1:]), terms)[1]


class _Sums(NamedTuple):
    """Sums over the steps of a product of diagonal matrices."""

    logs: CompensatedSum
    """``Σ ln|entry|``, without the zeros."""
    sizes: Float[Array, "*L n"]
    """``Σ |ln|entry||``."""
    zero: Bool[Array, "*L n"]
    """Whether an entry is zero."""
    unresolved: Bool[Array, "*L n"]
    """Whether an entry is not resolved, see ``LogSlopes``."""
