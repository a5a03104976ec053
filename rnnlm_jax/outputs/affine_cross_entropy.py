"""Cross-entropy of ``h w + b``: nats alone, or together with all gradients, one chunk of rows at a time.

On a CPU both are C++ kernels; the functions here are their reference. A row of weight 0 has nats and gradients of 0.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.kernels.operation import Operation
from rnnlm_jax.outputs.cross_entropy import cross_entropy, softmax_rows
from rnnlm_jax.outputs.row_chunks import equal_chunk_rows, scan_row_chunks

#: A chunk of logits takes this much memory. Where that is fewer rows than w has, the chunk has as many rows as w, but
#: at most ``ENOUGH_ROWS``: longer chunks are faster, because w is read, and its gradient updated, once per chunk.
CHUNK_BYTES = 32 * 2**20
ENOUGH_ROWS = 512
#: With more rows a column of tiles does not fit the cache of a core.
MAX_ROWS = 1024
#: The kernel stores logits in panels of at most this many columns.
PANEL = 64


class CrossEntropyGradients(NamedTuple):
    """``ℓ_n = -log softmax(h_n w + b)[v_n]``, and the gradients of ``Σ_n weight_n ℓ_n``."""

    nats: Float[Array, " N"]
    dh: Float[Array, "N H"]
    dw: Float[Array, "H V"] | Float[Array, "V H"]
    db: Float[Array, " V"]


def affine_nats(
    h: Float[Array, "N H"],
    w: Float[Array, "H V"] | Float[Array, "V H"],
    b: Float[Array, " V"],
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    *,
    by_word: bool = False,
    rows: int | None = None,
) -> Float[Array, " N"]:
    """Return ``ℓ_n = log Σ_u exp(a_nu) - a_nv`` in nats, with ``a = h w + b`` and v the target of row n.

    Args:
        h: hidden states.
        w: output matrix; its transpose ``[V, H]``, such as an embedding, with ``by_word``.
        b: bias; logits and what follows have its dtype, products that of ``h`` and ``w``.
        targets: columns; a negative one counts from the end, and one outside gives NaN.
        weights: weights of the rows; where it is 0, ℓ is 0, and otherwise ℓ does not depend on it.
        by_word: whether ``w`` is ``[V, H]``.
        rows: rows per chunk; None chooses by the sizes.
    """
    return _call(_nats, (h, w, b, targets, weights), by_word, rows)[0]


def affine_gradients(
    h: Float[Array, "N H"],
    w: Float[Array, "H V"] | Float[Array, "V H"],
    b: Float[Array, " V"],
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    *,
    by_word: bool = False,
    rows: int | None = None,
) -> CrossEntropyGradients:
    """Return ``affine_nats`` and the gradients of their weighted sum; each chunk of logits is formed only once.

    The equations are ``δ_nv = weight_n (softmax(a_n)_v - [v = v_n])``, ``dh = δ wᵀ``, ``dw = hᵀ δ``, ``db = Σ_n δ_n``.
    Arguments are those of ``affine_nats``.
    """
    return CrossEntropyGradients(*_call(_gradients, (h, w, b, targets, weights), by_word, rows)[:4])


def chunk_rows(count: int, hidden_size: int, vocab_size: int, itemsize: int) -> int:
    """Return how many of ``count`` rows a chunk has; all chunks but the last are equally long."""
    fitting = CHUNK_BYTES // (vocab_size * itemsize)
    longest = min(max(fitting, min(hidden_size, ENOUGH_ROWS), 1), MAX_ROWS)
    return equal_chunk_rows(count, longest)


def _nats_reference(
    h: Array, w: Array, b: Array, targets: Array, weights: Array, *, by_word: bool, rows: int
) -> tuple[Array, Array]:
    def of_chunk(carry: tuple[()], chunk: tuple[Array, ...]) -> tuple[tuple[()], Array]:
        h_rows, target_rows, weight_rows = chunk
        nats = cross_entropy(_logits(h_rows, w, b, by_word), target_rows)
        return carry, jnp.where(weight_rows == 0, jnp.zeros((), b.dtype), nats)

    _, nats = scan_row_chunks(of_chunk, (), (h, targets, weights), rows)
    return nats, _kernel_memory(b, rows)


def _gradients_reference(
    h: Array, w: Array, b: Array, targets: Array, weights: Array, *, by_word: bool, rows: int
) -> tuple[Array, ...]:
    def of_chunk(carry: tuple[Array, Array], chunk: tuple[Array, ...]) -> tuple[tuple[Array, Array], Any]:
        h_rows, target_rows, weight_rows = chunk
        nats, probabilities, is_target = softmax_rows(_logits(h_rows, w, b, by_word), target_rows)
        unweighted = weight_rows == 0
        errors = weight_rows[:, None] * (probabilities - is_target.astype(b.dtype))
        dlogits = jnp.where(unweighted[:, None], 0, errors)
        narrow = dlogits.astype(h.dtype)
        dh = _contract(narrow, w, 1, 0 if by_word else 1)
        dw = _contract(narrow, h_rows, 0, 0) if by_word else _contract(h_rows, narrow, 0, 0)
        return (carry[0] + dw.astype(b.dtype), carry[1] + dlogits.sum(0)), (jnp.where(unweighted, 0, nats), dh)

    zeros = jnp.zeros(w.shape, b.dtype), jnp.zeros_like(b)
    (dw, db), (nats, dh) = scan_row_chunks(of_chunk, zeros, (h, targets, weights), rows)
    return nats, dh, dw.astype(w.dtype), db, _kernel_memory(b, rows)


_nats = Operation("cross_entropy_nats", _nats_reference)
_gradients = Operation("cross_entropy_gradients", _gradients_reference)


def _call(
    operation: Operation, arrays: tuple[Array, Array, Array, Array, Array], by_word: bool, rows: int | None
) -> tuple[Array, ...]:
    h, w, b, targets, weights = arrays
    count, hidden_size = h.shape
    rows = chunk_rows(count, hidden_size, b.size, b.dtype.itemsize) if rows is None else equal_chunk_rows(count, rows)
    run = operation if h.dtype == w.dtype == b.dtype else operation.reference  # the kernels compute in one dtype
    # `np.int64`, because the width of a plain number depends on jax's settings.
    return run(h, w, b, targets.astype(jnp.int32), weights.astype(b.dtype), by_word=by_word, rows=np.int64(rows))


def _logits(h: Array, w: Array, b: Array, by_word: bool) -> Array:
    product = _contract(h, w, 1, 1 if by_word else 0).astype(b.dtype)
    return product + over_batch(b, product)


def _contract(a: Array, b: Array, axis_of_a: int, axis_of_b: int) -> Array:
    """Return a product over one axis of each operand, without a transposition before it."""
    return jax.lax.dot_general(a, b, (((axis_of_a,), (axis_of_b,)), ((), ())))


def _kernel_memory(b: Array, rows: int) -> Array:
    """Return the memory in which the kernel keeps a chunk of logits: an unread result, so that XLA accounts for it."""
    return jnp.zeros((int(rows) * -(-b.size // PANEL) * PANEL,), b.dtype)
