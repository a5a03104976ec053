"""A product along its steps, forwards, and then the bounds on its errors, backwards over the records of the steps.

Steps are taken in chunks, whose records are made all at once: small matrices cost little more together than one does.
The records take 4 n² numbers a step. Of a long product only the state between segments is kept, and the records of each
segment are computed again when its turn comes.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Tree
from rnnlm_jax.jacobians import error_bound
from rnnlm_jax.jacobians.error_bound import Records, Step, Sums
from rnnlm_jax.jacobians.running_product import Running

#: Bytes that the records of all steps may take; beyond, those of a segment are kept at a time.
RECORDS = 1 << 28
#: Numbers in one of the matrices of a chunk, and the most steps in it.
CHUNK, MOST_STEPS = 1 << 14, 64

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
    segments, chunks, steps = _cut(lags[-1], empty) if certify else (1, 1, lags[-1])
    padded = segments * chunks * steps
    inputs = jax.tree.map(lambda part: _filled(part[: lags[-1]], padded - lags[-1]), inputs)
    # Each product is kept in the row of the next lag, where later ones write over it until that lag is reached.
    rows = jnp.asarray(np.searchsorted(lags, np.arange(1, padded + 1)), jnp.int32)
    kept = None if len(lags) == 1 and padded == lags[-1] else jax.tree.map(lambda p: jnp.stack([p] * len(lags)), empty)

    def step(carry: tuple[Running, Running | None], each: tuple[Tree, Array]) -> tuple[Any, Step | None]:
        running, kept = carry
        running, record = extend(running, each[0])
        if kept is not None:
            kept = jax.tree.map(lambda rows, new: rows.at[each[1]].set(new, mode="drop"), kept, running)
        return (running, kept), record if certify else None

    def chunk(carry: Any, each: Any) -> tuple[Any, Records | None]:
        after, steps = jax.lax.scan(step, carry, each)
        if steps is None:
            return after, None
        return after, error_bound.records(*jax.lax.stop_gradient((steps, carry[0].product.q)))

    def segment(carry: Any, each: Any) -> tuple[Any, Any]:
        after, found = jax.lax.scan(chunk, carry, each)
        return after, found if segments == 1 else carry[0]

    cut = jax.tree.map(lambda part: part.reshape(segments, chunks, steps, *part.shape[1:]), (inputs, rows))
    (last, kept), found = jax.lax.scan(segment, (empty, kept), cut)
    if kept is None:
        kept = jax.tree.map(lambda part: part[None], last)
    if not certify:
        return kept, None

    def records_of(number: Array) -> Any:
        at = jax.tree.map(lambda part: part[number], (found, cut))
        return at[0] if segments == 1 else jax.lax.scan(chunk, (at[0], None), at[1])[1]

    def sums(each: tuple[Array, Running]) -> Sums:
        lag, running = each
        end, n = running.product.d, running.product.t.shape[0]

        def back(number: Array, found: Sums) -> Sums:
            records, before = records_of(number), number * chunks * steps

            def chunk_back(index: Array, found: Sums) -> Sums:
                chunk = jax.tree.map(lambda part: part[index], records)
                count = jnp.minimum(lag - before - index * steps, steps)
                return error_bound.earlier(chunk, count, found, end)

            return _downwards(chunk_back, jnp.minimum(_over(lag - before, steps), chunks), found)

        return _downwards(back, _over(lag, chunks * steps), error_bound.start(n, running.product.t.dtype))

    return kept, jax.lax.map(sums, (jnp.asarray(lags, jnp.int32), jax.lax.stop_gradient(kept)))


def _downwards(body: Callable[[Array, Sums], Sums], count: Int[Array, ""], sums: Sums) -> Sums:
    """``body(0, … body(count - 1, sums))``."""
    return jax.lax.fori_loop(0, count, lambda k, found: body(count - 1 - k, found), sums)


def _over(number: Int[Array, ""], divisor: int) -> Int[Array, ""]:
    """The quotient rounded up."""
    return (number + divisor - 1) // divisor


def _cut(steps: int, empty: Running) -> tuple[int, int, int]:
    """Segments, chunks of each, steps of each chunk: a few steps more than there are, if need be."""
    q = empty.product.q
    chunks = -(-steps // max(1, min(CHUNK // q.size, MOST_STEPS, steps)))
    length = -(-steps // chunks)
    if 4 * steps * q.size * q.dtype.itemsize <= RECORDS:
        return 1, chunks, length
    segments = math.isqrt(chunks - 1) + 1
    return segments, -(-chunks // segments), length


def _filled(part: Array, count: int) -> Array:
    """The last entry repeated at the end."""
    return jnp.concatenate([part, jnp.broadcast_to(part[-1:], (count, *part.shape[1:]))]) if count else part
