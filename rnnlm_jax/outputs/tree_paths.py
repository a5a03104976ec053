"""From a leaf of a tree up to its root: which decisions a word is made of, what they cost, and all words at once."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.outputs.word_tree import WordTree

#: Vectors of nodes that are gathered for some rows at a time take no more memory than this.
CHUNK_BYTES = 4 * 2**20


class Paths(NamedTuple):
    """The inner nodes above each row's word, K the longest path of the tree, from the word up."""

    nodes: Int[Array, "N K"]
    signs: Float[Array, "N K"]
    """1 where the path goes on to the first child, -1 to the second, and 0 beyond the root; NaN for what is no word."""


def paths_of(tree: WordTree, targets: Int[Array, " N"], dtype: Any) -> Paths:
    """The paths of words; as elsewhere a negative one counts from the end."""
    size = tree.vocab_size
    targets = jnp.where(targets < 0, targets + size, targets).astype(jnp.int32)
    above = jnp.asarray(tree.above)

    def up(node: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        code = above[node]
        over = code < 0
        node = jnp.where(over, node, code >> 1)
        return node, (node, jnp.where(over, 0, 1 - 2 * (code & 1)))

    leaves = size - 1 + jnp.clip(targets, 0, size - 1)
    _, (nodes, signs) = lax.scan(up, leaves, None, length=tree.depth)
    is_word = (targets >= 0) & (targets < size)
    return Paths(nodes.T, jnp.where(is_word[:, None], signs.T.astype(dtype), jnp.nan))


def path_nats(
    h: Float[Array, "N H"],
    w: Float[Array, "M H"],
    b: Float[Array, " M"],
    nodes: Int[Array, "N K"],
    signs: Float[Array, "N K"],
) -> Float[Array, " N"]:
    """``Σ_k log(1 + exp(-sign_k (h · w_k + b_k)))`` of each row in nats; plain, so that it has every derivative.

    Args:
        h: hidden states.
        w: vectors of nodes; products have the type of these and of ``h``, all that follows that of ``b``.
        b: biases of nodes.
        nodes: rows of ``w``.
        signs: see ``Paths``.
    """

    w, b = jnp.asarray(w), jnp.asarray(b)

    @jax.checkpoint
    def of_chunk(carry: tuple[()], chunk: tuple[Array, ...]) -> tuple[tuple[()], Array]:
        some, nodes, signs = chunk
        return carry, _losses(_decisions(some, w[nodes], b[nodes]), signs).sum(axis=1)

    return _over_chunks(of_chunk, (), (h, nodes, signs), _chunk_rows(nodes.shape[1], h))[1]


@functools.partial(jax.custom_jvp)
def weighted_path_nats(
    h: Float[Array, "N H"],
    w: Float[Array, "M H"],
    b: Float[Array, " M"],
    nodes: Int[Array, "N K"],
    signs: Float[Array, "N K"],
    weights: Float[Array, " N"],
) -> Float[Array, ""]:
    """``Σ_n weight_n ℓ_n`` of ``path_nats``, its gradients formed with it; a row of weight 0 counts for nothing."""
    return _sum(weights, path_nats(h, w, b, nodes, _counted(signs, weights)))


@weighted_path_nats.defjvp
def _weighted_path_nats_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    h, w, b, nodes, signs, weights = primals
    moved_h, moved_w, moved_b, _, _, moved_weights = tangents
    nats, dh, dw, db = _gradients(h, w, b, nodes, _counted(signs, weights), weights)
    moved = sum((g.astype(b.dtype) * t.astype(b.dtype)).sum() for g, t in ((dh, moved_h), (dw, moved_w), (db, moved_b)))
    return _sum(weights, nats), moved + _sum(moved_weights, nats)


def _gradients(
    h: Array, w: Array, b: Array, nodes: Array, signs: Array, weights: Array
) -> tuple[Array, Array, Array, Array]:
    """``ℓ_n``, and the gradients of their weighted sum: ``δ_nk = -weight_n sign_nk σ(-sign_nk a_nk)``."""

    def of_chunk(carry: tuple[Array, Array], chunk: tuple[Array, ...]) -> tuple[tuple[Array, Array], Any]:
        dw, db = carry
        some, nodes, signs, weights = chunk
        vectors = w[nodes]
        a = _decisions(some, vectors, b[nodes])
        slopes = -weights[:, None] * signs * jax.nn.sigmoid(-signs * a)
        narrow = slopes.astype(h.dtype)
        dh = jnp.einsum("nk,nkh->nh", narrow, vectors)
        dw = dw.at[nodes].add(narrow[:, :, None] * some[:, None, :])
        return (dw, db.at[nodes].add(slopes)), (_losses(a, signs).sum(axis=1), dh)

    arrays = h, nodes, signs, weights.astype(b.dtype)
    (dw, db), (nats, dh) = _over_chunks(
        of_chunk, (jnp.zeros_like(w), jnp.zeros_like(b)), arrays, _chunk_rows(nodes.shape[1], h)
    )
    return nats, dh, dw, db


def leaf_log_probs(tree: WordTree, decisions: Float[Array, "N M"]) -> Float[Array, "N V"]:
    """The log-probability of every word from ``h · w + b`` of every inner node: one pass down the tree.

    That of a node is its parent's and that of the decision between the two, so that the words' sum to one whatever
    the decisions are.
    """
    above = tree.above
    size, rows = tree.vocab_size, decisions.shape[0]
    if size == 1:
        return jnp.zeros((rows, 1), decisions.dtype)
    first, second = -jax.nn.softplus(-decisions), -jax.nn.softplus(decisions)
    reached, parts = jnp.zeros((rows, 1), decisions.dtype), []
    for k, (begin, end) in enumerate(zip(tree.levels, tree.levels[1:], strict=False)):
        if k:
            reached = parts[-1][:, above[begin:end] - 2 * tree.levels[k - 1]]
        both = jnp.stack([reached + first[:, begin:end], reached + second[:, begin:end]], axis=-1)
        parts.append(both.reshape(rows, -1))
    return jnp.concatenate(parts, axis=1)[:, above[size - 1 :]]


def _decisions(h: Array, vectors: Array, b: Array) -> Array:
    return jnp.einsum("nh,nkh->nk", h, vectors).astype(b.dtype) + b


def _losses(a: Array, signs: Array) -> Array:
    return jnp.where(signs == 0, 0, jax.nn.softplus(-signs * a))


def _counted(signs: Array, weights: Array) -> Array:
    return jnp.where((weights == 0)[:, None], 0, signs)


def _chunk_rows(length: int, h: Array) -> int:
    return max(1, CHUNK_BYTES // max(length * h.shape[1] * h.dtype.itemsize, 1))


def _over_chunks(body: Any, carry: Any, arrays: tuple[Array, ...], rows: int) -> tuple[Any, Any]:
    """A scan over chunks of rows, the last filled up with rows of zeros, which have no sign and so no loss."""
    count = arrays[0].shape[0]
    chunks = -(-count // rows)
    if chunks <= 1:
        return body(carry, arrays)
    rows = -(-count // chunks)

    def cut(array: Array) -> Array:
        padding = [(0, chunks * rows - count)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(chunks, rows, *array.shape[1:])

    carry, found = lax.scan(body, carry, tuple(cut(array) for array in arrays))
    return carry, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], found)


def _sum(weights: Array, nats: Array) -> Array:
    return (weights.astype(nats.dtype) * nats).sum()
