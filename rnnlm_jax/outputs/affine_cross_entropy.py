"""Cross-entropy of ``h w + b``: nats alone, or all gradients formed with them, chunk by chunk of rows.

On a CPU both are kernels of our own, which mean what is written here. Rows of weight 0 count for nothing: their nats
are 0, and so are their gradients.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.kernels.operation import Operation
from rnnlm_jax.outputs.cross_entropy import cross_entropy, softmax_rows

#: A chunk of logits takes this much memory; where that is few rows, it has as many as w has, but no more than
#: ``ENOUGH_ROWS``. Longer chunks are faster: what is added to the gradient of w, and read of w, is so once a chunk.
CHUNK_BYTES = 32 * 2**20
ENOUGH_ROWS = 512
#: Beyond this, a column of tiles leaves the cache of a core.
MOST_ROWS = 1024
#: The kernel's logits lie in panels of columns, and no machine has wider ones.
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
    by_word: bool = False,
    rows: int | None = None,
) -> Float[Array, " N"]:
    """``ℓ_n = log Σ_u exp(a_nu) - a_nv`` in nats, with ``a = h w + b`` and v the target of row n.

    Args:
        h: hidden states.
        w: the matrix; ``by_word``: its transpose ``[V, H]``, such as an embedding.
        b: the bias; logits and all that follows have its dtype, products that of ``h`` and ``w``.
        targets: columns. NaN for one that is none; a negative one counts from the end.
        weights: of the rows; where it is 0, ℓ is 0, and otherwise ℓ does not depend on it.
        by_word: how ``w`` lies.
        rows: of a chunk; chosen by the sizes unless given.
    """
    return _call(_nats, h, w, b, targets, weights, by_word, rows)[0]


def affine_gradients(
    h: Float[Array, "N H"],
    w: Float[Array, "H V"] | Float[Array, "V H"],
    b: Float[Array, " V"],
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    by_word: bool = False,
    rows: int | None = None,
) -> CrossEntropyGradients:
    """``affine_nats`` and the gradients of their weighted sum, each chunk of logits being made once and kept nowhere.

    The equations are ``δ_nv = weight_n (softmax(a_n)_v - [v = v_n])``, ``dh = δ wᵀ``, ``dw = hᵀ δ``, ``db = Σ_n δ_n``.
    Arguments are those of ``affine_nats``.
    """
    return CrossEntropyGradients(*_call(_gradients, h, w, b, targets, weights, by_word, rows)[:4])


def chunk_rows(count: int, hidden_size: int, vocab_size: int, itemsize: int) -> int:
    """How many of ``count`` rows make a chunk, the chunks being of one length but for the last."""
    fitting = CHUNK_BYTES // (vocab_size * itemsize)
    most = min(max(fitting, min(hidden_size, ENOUGH_ROWS), 1), MOST_ROWS)
    return _even(count, most)


def _nats_meaning(
    h: Array, w: Array, b: Array, targets: Array, weights: Array, *, by_word: bool, rows: int
) -> tuple[Array, Array]:
    def of_chunk(carry: tuple[()], chunk: tuple[Array, ...]) -> tuple[tuple[()], Array]:
        some, goals, counted = chunk
        nats = cross_entropy(_logits(some, w, b, by_word), goals)
        return carry, jnp.where(counted == 0, jnp.zeros((), b.dtype), nats)

    _, nats = _over_chunks(of_chunk, (), (h, targets, weights), rows)
    return nats, _kernel_memory(b, rows)


def _gradients_meaning(
    h: Array, w: Array, b: Array, targets: Array, weights: Array, *, by_word: bool, rows: int
) -> tuple[Array, ...]:
    def of_chunk(carry: tuple[Array, Array], chunk: tuple[Array, ...]) -> tuple[tuple[Array, Array], Any]:
        some, goals, counted = chunk
        nats, probabilities, hit = softmax_rows(_logits(some, w, b, by_word), goals)
        none = counted == 0
        slopes = jnp.where(none[:, None], 0, counted[:, None] * (probabilities - hit.astype(b.dtype)))
        narrow = slopes.astype(h.dtype)
        dh = _contract(narrow, w, 1, 0 if by_word else 1)
        dw = _contract(narrow, some, 0, 0) if by_word else _contract(some, narrow, 0, 0)
        return (carry[0] + dw.astype(b.dtype), carry[1] + slopes.sum(0)), (jnp.where(none, 0, nats), dh)

    start = jnp.zeros(w.shape, b.dtype), jnp.zeros_like(b)
    (dw, db), (nats, dh) = _over_chunks(of_chunk, start, (h, targets, weights), rows)
    return nats, dh, dw.astype(w.dtype), db, _kernel_memory(b, rows)


_nats = Operation("cross_entropy_nats", _nats_meaning)
_gradients = Operation("cross_entropy_gradients", _gradients_meaning)


def _call(
    operation: Operation,
    h: Array,
    w: Array,
    b: Array,
    targets: Array,
    weights: Array,
    by_word: bool,
    rows: int | None,
) -> tuple[Array, ...]:
    rows = chunk_rows(h.shape[0], h.shape[1], b.size, b.dtype.itemsize) if rows is None else _even(h.shape[0], rows)
    one_type = h.dtype == w.dtype == b.dtype  # as the kernels have
    run = operation if one_type else operation.reference
    # A type of its own: how wide a plain number is, is a setting of jax.
    return run(h, w, b, targets.astype(jnp.int32), weights.astype(b.dtype), by_word=by_word, rows=np.int64(rows))


def _logits(h: Array, w: Array, b: Array, by_word: bool) -> Array:
    product = _contract(h, w, 1, 1 if by_word else 0).astype(b.dtype)
    return product + over_batch(b, product)


def _contract(a: Array, b: Array, axis_of_a: int, axis_of_b: int) -> Array:
    """A product in which neither operand is transposed first."""
    return jax.lax.dot_general(a, b, (((axis_of_a,), (axis_of_b,)), ((), ())))


def _over_chunks(
    body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, arrays: tuple[Array, ...], rows: int
) -> tuple[Any, Any]:
    """A scan over chunks of rows, the last filled up with rows of zeros; no loop for a single chunk."""
    count = arrays[0].shape[0]
    chunks = -(-count // rows)
    if chunks <= 1:
        return body(carry, arrays)

    def cut(array: Array) -> Array:
        padding = [(0, chunks * rows - count)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(chunks, rows, *array.shape[1:])

    carry, found = jax.lax.scan(body, carry, tuple(cut(array) for array in arrays))
    return carry, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], found)


def _even(count: int, most: int) -> int:
    """The length of equal chunks of at most ``most``."""
    return -(-count // max(-(-count // most), 1)) if count else 1


def _kernel_memory(b: Array, rows: int) -> Array:
    """Where the kernel keeps a chunk of logits: a result that nobody reads, whose memory XLA counts and uses again."""
    return jnp.zeros((int(rows) * -(-b.size // PANEL) * PANEL,), b.dtype)
