"""Graded products at several lags in one pass over the factors, and the sums that bound their errors.

The forward pass multiplies the factors in chunks of steps and prepares the records of each chunk for the error bound
together, since small matrices cost little more in a batch than one at a time. The bounds are then accumulated backwards
over the records (see ``error_bound``), which take 4 n² numbers a step. For a long product only the products between
segments of time are kept, and the records of a segment are computed again in the backward pass.
"""

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Tree
from rnnlm_jax.jacobians.certificate import error_bound
from rnnlm_jax.jacobians.certificate.error_bound import ErrorSums, PreparedRecords, StepRecord
from rnnlm_jax.jacobians.graded.running_product import RunningProduct

#: Bytes that the records of all steps may take; beyond that, the records of one segment are kept at a time.
RECORD_BYTES = 1 << 28
#: Largest number of entries in one array of a chunk's records, and the largest number of steps in a chunk.
CHUNK_ENTRIES, CHUNK_STEPS = 1 << 14, 64


class MultiplyStep(Protocol):
    """Multiplication of a running product by the factor of one step."""

    def __call__(self, running: RunningProduct, inputs: Tree, /) -> tuple[RunningProduct, StepRecord]:
        """Return the product with one more factor.

        Args:
            running: the product so far.
            inputs: what the factor of this step is computed from.

        Returns:
            the new product, and the record of this step.
        """
        ...


class _Partition(NamedTuple):
    """Time as segments of chunks of steps; the last steps may be padding."""

    segments: int
    chunks: int
    steps: int


def products_at_lags(
    multiply: MultiplyStep,
    empty: RunningProduct,
    inputs: Tree,
    *,
    lags: tuple[int, ...],
    certify: bool,
    copies: int = 1,
) -> tuple[RunningProduct, ErrorSums | None]:
    """Return the products of the first ℓ factors at several lags ℓ, and the sums that bound their errors.

    Args:
        multiply: one step.
        empty: the product before the first step.
        inputs: what the factors are computed from, leaves ``[T, ...]``.
        lags: ascending, from 1 to T.
        certify: whether to compute the error sums; None otherwise.
        copies: number of products that the caller computes at once (``vmap``), which share the memory for records.

    Returns:
        both with a leading axis, one entry per lag.
    """
    segments, chunks, steps = _partition(lags[-1], empty, copies) if certify else _Partition(1, 1, lags[-1])
    padded = segments * chunks * steps
    inputs = jax.tree.map(lambda part: _pad(part[: lags[-1]], padded - lags[-1]), inputs)
    # Each product is written to the row of the next lag; later ones overwrite it until that lag is reached.
    rows = jnp.asarray(np.searchsorted(lags, np.arange(1, padded + 1)), jnp.int32)
    kept = None if len(lags) == 1 and padded == lags[-1] else jax.tree.map(lambda p: jnp.stack([p] * len(lags)), empty)

    def step(carry: tuple[RunningProduct, RunningProduct | None], each: tuple[Tree, Array]) -> tuple[Any, Any]:
        running, kept = carry
        running, record = multiply(running, each[0])
        if kept is not None:
            kept = jax.tree.map(lambda rows, new: rows.at[each[1]].set(new, mode="drop"), kept, running)
        return (running, kept), record if certify else None

    def chunk(carry: Any, each: Any) -> tuple[Any, PreparedRecords | None]:
        after, records = jax.lax.scan(step, carry, each)
        if records is None:
            return after, None
        return after, error_bound.prepare_records(*jax.lax.stop_gradient((records, carry[0].product.q)))

    def segment(carry: Any, each: Any) -> tuple[Any, Any]:
        after, records = jax.lax.scan(chunk, carry, each)
        return after, records if segments == 1 else carry[0]

    partitioned = jax.tree.map(lambda part: part.reshape(segments, chunks, steps, *part.shape[1:]), (inputs, rows))
    (last, kept), saved = jax.lax.scan(segment, (empty, kept), partitioned)
    if kept is None:
        kept = jax.tree.map(lambda part: part[None], last)
    if not certify:
        return kept, None

    def records_of_segment(number: Array) -> Any:
        """Return the saved records of a segment, or compute them again from the product before it."""
        at = jax.tree.map(lambda part: part[number], (saved, partitioned))
        return at[0] if segments == 1 else jax.lax.scan(chunk, (at[0], None), at[1])[1]

    def error_sums(each: tuple[Array, RunningProduct]) -> ErrorSums:
        lag, running = each
        end, n = running.product.d, running.product.t.shape[0]

        def segment_back(number: Array, sums: ErrorSums) -> ErrorSums:
            records, before = records_of_segment(number), number * chunks * steps

            def chunk_back(index: Array, sums: ErrorSums) -> ErrorSums:
                records_of_chunk = jax.tree.map(lambda part: part[index], records)
                count = jnp.minimum(lag - before - index * steps, steps)
                return error_bound.add_earlier_steps(records_of_chunk, count, sums, end=end)

            return _backwards(chunk_back, jnp.minimum(_ceil_divide(lag - before, steps), chunks), sums)

        no_steps = error_bound.sums_of_no_steps(n, running.product.t.dtype)
        return _backwards(segment_back, _ceil_divide(lag, chunks * steps), no_steps)

    return kept, jax.lax.map(error_sums, (jnp.asarray(lags, jnp.int32), jax.lax.stop_gradient(kept)))


def _backwards(body: Any, count: Int[Array, ""], sums: ErrorSums) -> ErrorSums:
    """Return ``body(0, … body(count - 1, sums))``."""
    return jax.lax.fori_loop(0, count, lambda k, sums: body(count - 1 - k, sums), sums)


def _ceil_divide(number: Int[Array, ""], divisor: int) -> Int[Array, ""]:
    return (number + divisor - 1) // divisor


def _partition(steps: int, empty: RunningProduct, copies: int) -> _Partition:
    """Choose segments and chunks for a number of steps, with as little padding as possible."""
    q = empty.product.q
    entries = copies * q.size
    chunks = -(-steps // max(1, min(CHUNK_ENTRIES // entries, CHUNK_STEPS, steps)))
    length = -(-steps // chunks)
    if 4 * steps * entries * q.dtype.itemsize <= RECORD_BYTES:
        return _Partition(1, chunks, length)
    segments = math.isqrt(chunks - 1) + 1
    return _Partition(segments, -(-chunks // segments), length)


def _pad(part: Array, count: int) -> Array:
    """Repeat the last entry ``count`` times at the end."""
    return jnp.concatenate([part, jnp.broadcast_to(part[-1:], (count, *part.shape[1:]))]) if count else part
