"""Paths from a leaf of a word tree to its root: the decisions on them, their loss, and all words' log-probabilities."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.outputs.row_chunks import equal_chunk_rows, scan_row_chunks
from rnnlm_jax.outputs.training_loss import weighted_loss
from rnnlm_jax.outputs.word_tree import WordTree

#: Most memory of the node vectors that are gathered for a chunk of rows.
CHUNK_BYTES = 4 * 2**20


class Paths(NamedTuple):
    """The inner nodes above each row's word, from the word up; K is the length of the tree's longest path."""

    nodes: Int[Array, "N K"]
    signs: Float[Array, "N K"]
    """1 where the path goes to the first child, -1 to the second, 0 beyond the root; NaN if the id is not a word."""


def paths_of(tree: WordTree, targets: Int[Array, " N"], dtype: Any) -> Paths:
    """Return the paths of words; a negative id counts from the end."""
    size = tree.vocab_size
    targets = jnp.where(targets < 0, targets + size, targets).astype(jnp.int32)
    above = jnp.asarray(tree.above)

    def up(node: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        code = above[node]
        beyond_root = code < 0
        node = jnp.where(beyond_root, node, code >> 1)
        return node, (node, jnp.where(beyond_root, 0, 1 - 2 * (code & 1)))

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
    """Return ``Σ_k log(1 + exp(-sign_k (h · w_k + b_k)))`` of each row in nats.

    Plain JAX, which can be differentiated any number of times.

    Args:
        h: hidden states.
        w: vectors of nodes; products have the dtype of these and of ``h``, what follows that of ``b``.
        b: biases of nodes.
        nodes: rows of ``w``.
        signs: see ``Paths``.
    """

    w, b = jnp.asarray(w), jnp.asarray(b)

    @jax.checkpoint
    def of_chunk(carry: tuple[()], chunk: tuple[Array, ...]) -> tuple[tuple[()], Array]:
        h_rows, nodes, signs = chunk
        return carry, _losses(_decisions(h_rows, w[nodes], b[nodes]), signs).sum(axis=1)

    return scan_row_chunks(of_chunk, (), (h, nodes, signs), _chunk_rows(nodes.shape[1], h))[1]


def weighted_path_nats(
    h: Float[Array, "N H"],
    w: Float[Array, "M H"],
    b: Float[Array, " M"],
    nodes: Int[Array, "N K"],
    signs: Float[Array, "N K"],
    weights: Float[Array, " N"],
) -> Float[Array, ""]:
    """Return ``Σ_n weight_n ℓ_n`` of ``path_nats``, as ``weighted_loss`` does."""
    return weighted_loss(_PathLosses(), (h, w, b), (nodes, signs), weights)


@dataclass(frozen=True)
class _PathLosses:
    """``path_nats`` of operands ``(h, w, b)`` and constants ``(nodes, signs)``."""

    def losses(self, operands: Tree, constants: Tree, weights: Array) -> Array:
        (h, w, b), (nodes, signs) = operands, constants
        return path_nats(h, w, b, nodes, _weighted_signs(signs, weights))

    def gradients(self, operands: Tree, constants: Tree, weights: Array) -> tuple[Array, Tree]:
        nodes, signs = constants
        nats, *gradients = _gradients(operands, nodes, _weighted_signs(signs, weights), weights)
        return nats, tuple(gradients)


def _gradients(
    operands: tuple[Array, Array, Array], nodes: Array, signs: Array, weights: Array
) -> tuple[Array, Array, Array, Array]:
    """Return ``ℓ_n`` and the gradients of their weighted sum: ``δ_nk = -weight_n sign_nk σ(-sign_nk a_nk)``."""
    h, w, b = operands

    def of_chunk(carry: tuple[Array, Array], chunk: tuple[Array, ...]) -> tuple[tuple[Array, Array], Any]:
        dw, db = carry
        h_rows, nodes, signs, weights = chunk
        vectors = w[nodes]
        a = _decisions(h_rows, vectors, b[nodes])
        da = -weights[:, None] * signs * jax.nn.sigmoid(-signs * a)
        narrow = da.astype(h.dtype)
        dh = jnp.einsum("nk,nkh->nh", narrow, vectors)
        dw = dw.at[nodes].add(narrow[:, :, None] * h_rows[:, None, :])
        return (dw, db.at[nodes].add(da)), (_losses(a, signs).sum(axis=1), dh)

    arrays = h, nodes, signs, weights.astype(b.dtype)
    zeros = jnp.zeros_like(w), jnp.zeros_like(b)
    (dw, db), (nats, dh) = scan_row_chunks(of_chunk, zeros, arrays, _chunk_rows(nodes.shape[1], h))
    return nats, dh, dw, db


def leaf_log_probs(tree: WordTree, decisions: Float[Array, "N M"]) -> Float[Array, "N V"]:
    """Return the log-probability of every word from ``h · w + b`` of every inner node, in one pass down the tree.

    A node's log-probability is its parent's plus that of the decision between them, so the words' probabilities sum to
    one whatever the decisions are.
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


def _weighted_signs(signs: Array, weights: Array) -> Array:
    """Return the signs, 0 (no loss) for rows of weight 0."""
    return jnp.where((weights == 0)[:, None], 0, signs)


def _chunk_rows(length: int, h: Array) -> int:
    longest = max(1, CHUNK_BYTES // max(length * h.shape[1] * h.dtype.itemsize, 1))
    return equal_chunk_rows(h.shape[0], longest)
