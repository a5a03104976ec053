"""A product along its steps, forwards, and then the bounds on its errors, backwards over the records of the steps.

The records take 3 n² numbers a step. Of a long product only the state between segments of about √T steps is kept, and
each segment is computed again when its turn comes.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Tree
from rnnlm_jax.jacobians import error_bound
from rnnlm_jax.jacobians.error_bound import Step, Sums
from rnnlm_jax.jacobians.running_product import Running

#: Bytes that the records of all steps may take; beyond, those of a segment are kept at a time.
RECORDS = 1 << 28

Extend = Callable[[Running, Tree], tuple[Running, Step]]  # (product, inputs of one step) -> (product, its record)


def along(
    extend: Extend, empty: Running, inputs: Tree, lags: tuple[int, ...], certify: bool
) -> tuple[Running, Sums | None]:
    """The products at several lags, and what bounds their errors.

    Args:
        extend: one step.
        empty: the product before the first.
        inputs: of all steps, ``[T, ...]``.
        lags: ascending; the last is at most T.
        certify: whether to bound the errors.

    Returns:
        both with a leading axis, one entry a lag.
    """
    steps = lags[-1]
    inputs = jax.tree.map(lambda part: part[:steps], inputs)
    length = _segment_length(steps, empty) if certify else steps
    if length < steps:
        inputs = jax.tree.map(lambda part: _filled(part, -steps % length), inputs)

    def step(carry: tuple[Running, Running | None], each: tuple[Tree, Array]) -> tuple[Any, Step | None]:
        running, kept = carry
        running, record = extend(running, each[0])
        if kept is not None:
            kept = jax.tree.map(lambda rows, new: rows.at[each[1]].set(new, mode="drop"), kept, running)
        return (running, kept), jax.lax.stop_gradient(record) if certify and length == steps else None

    def segment(carry: Any, each: Any) -> tuple[Any, Any]:
        after, records = jax.lax.scan(step, carry, each)
        return after, (carry[0], records)

    # Each product is kept in the row of the next lag, where later ones write over it until that lag is reached.
    padded = jax.tree.leaves(inputs)[0].shape[0]
    rows = jnp.asarray(np.searchsorted(lags, np.arange(1, padded + 1)), jnp.int32)
    kept = None if len(lags) == 1 and padded == steps else jax.tree.map(lambda p: jnp.stack([p] * len(lags)), empty)
    if length == steps:
        (last, kept), records = jax.lax.scan(step, (empty, kept), (inputs, rows))

        def records_of(number: Array) -> Any:
            return records

    else:
        cut = jax.tree.map(lambda part: part.reshape(-1, length, *part.shape[1:]), (inputs, rows))
        (last, kept), (starts, _) = jax.lax.scan(segment, (empty, kept), cut)

        def records_of(number: Array) -> Any:
            at = jax.tree.map(lambda part: part[number], (starts, cut[0]))
            return jax.lax.stop_gradient(jax.lax.scan(extend, *at)[1])

    if kept is None:
        kept = jax.tree.map(lambda part: part[None], last)
    if not certify:
        return kept, None

    def sums(each: tuple[Array, Running]) -> Sums:
        lag, running = each
        end, n = running.product.d, running.product.t.shape[0]
        segments = (lag + length - 1) // length

        def back(k: Array, found: Sums) -> Sums:
            number = segments - 1 - k
            return _backwards(records_of(number), jnp.minimum(lag - number * length, length), found, end)

        return jax.lax.fori_loop(0, segments, back, error_bound.start(n, running.product.t.dtype))

    return kept, jax.lax.map(sums, (jnp.asarray(lags, jnp.int32), jax.lax.stop_gradient(kept)))


def _backwards(records: Step, count: Int[Array, ""], sums: Sums, end: Any) -> Sums:
    """The sums over the first ``count`` of the records, the last of them first."""

    def back(k: Array, found: Sums) -> Sums:
        record = jax.tree.map(lambda part: jax.lax.dynamic_index_in_dim(part, count - 1 - k, keepdims=False), records)
        return error_bound.earlier(record, found, end)

    return jax.lax.fori_loop(0, count, back, sums)


def _segment_length(steps: int, empty: Running) -> int:
    """All steps if their records are small, else about the square root of their number."""
    q = empty.product.q
    if 3 * steps * q.size * q.dtype.itemsize <= RECORDS:
        return steps
    return math.isqrt(steps - 1) + 1


def _filled(part: Array, count: int) -> Array:
    """The last entry repeated at the end."""
    return jnp.concatenate([part, jnp.broadcast_to(part[-1:], (count, *part.shape[1:]))])
