"""Loss of a softmax in two levels; a cluster's product is formed only for the rows whose targets are in it."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.outputs.affine_cross_entropy import affine_gradients, affine_nats
from rnnlm_jax.outputs.training_loss import weighted_loss

#: Rows of a cluster are processed in chunks of this length, as many as needed: how many rows a cluster has is known
#: only when the program runs. Each chunk costs a pass over the gradient of the cluster's words.
CHUNK = 256
#: A column outside every product: its loss is NaN.
NO_COLUMN = 2**31 - 1


class Tail(NamedTuple):
    """One cluster of rarer words: ``softmax((h project) w)`` over the words in it, P units each."""

    project: Float[Array, "H P"] | None
    """None: P = H, and h is not projected."""
    w: Float[Array, "P V"]


class Clusters(NamedTuple):
    """The most frequent words, with one more column for each cluster of the others; and those clusters."""

    head: Float[Array, "H V"]
    tails: tuple[Tail, ...]


class Positions(NamedTuple):
    """Positions of targets: the head (0) or number of a cluster, the column in the head, the column in the cluster."""

    cluster: Int[Array, " N"]
    column: Int[Array, " N"]
    within: Int[Array, " N"]


def positions(targets: Int[Array, " N"], has_weight: Bool[Array, " N"], sizes: tuple[int, ...]) -> Positions:
    """Return the positions of targets in clusters of these sizes, the head first.

    A negative target counts from the end; one that is not a word has no column. A target without weight is put into the
    head, where it costs least.
    """
    bounds = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    targets = jnp.where(targets < 0, targets + bounds[-1], targets).astype(jnp.int32)
    is_word = (targets >= 0) & (targets < bounds[-1])
    cluster = sum((targets >= bound).astype(jnp.int32) for bound in bounds[:-1])
    cluster = jnp.where(is_word & has_weight, cluster, 0)
    column = jnp.where(cluster > 0, sizes[0] - 1 + cluster, targets)
    starts = jnp.asarray([0, *bounds[:-1]], jnp.int32)
    return Positions(cluster, jnp.where(is_word, column, NO_COLUMN), targets - starts[cluster])


def clustered_nats(
    h: Float[Array, "N H"],
    params: Clusters,
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    dtype: np.dtype,
) -> Float[Array, ""]:
    """Return ``Σ_n weight_n ℓ_n`` of ``row_nats``, as ``weighted_loss`` does.

    For the gradients a cluster's matrices are multiplied only with the rows whose target is in it; a cluster without a
    target costs only the zeros of its gradient.
    """
    return weighted_loss(_ClusteredLosses(dtype), (h, params), targets, weights)


@dataclass(frozen=True)
class _ClusteredLosses:
    """``row_nats`` of operands ``(h, params)`` and targets."""

    dtype: np.dtype

    def losses(self, operands: Tree, constants: Array, weights: Array) -> Array:
        h, params = operands
        return row_nats(h, params, constants, weights, self.dtype)

    def gradients(self, operands: Tree, constants: Array, weights: Array) -> tuple[Array, Tree]:
        h, params = operands
        nats, *gradients = _gradients(h, params, constants, weights, self.dtype)
        return nats, tuple(gradients)


def row_nats(
    h: Float[Array, "N H"],
    params: Clusters,
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    dtype: np.dtype,
) -> Float[Array, " N"]:
    """Return ``-log P(target | h)`` of each row in nats, 0 for rows of weight 0.

    Plain JAX, which can be differentiated any number of times.

    Args:
        h: hidden states.
        params: matrices, of the dtype of ``h``, which is that of the products.
        targets: words, by rank.
        weights: weights of the rows.
        dtype: dtype of logits and sums.
    """
    where = positions(targets, weights != 0, _sizes(params))
    weights = jnp.asarray(weights, dtype)
    nats = affine_nats(h, params.head, _zeros(params.head, dtype), where.column, weights)
    for k, (project, w) in enumerate(params.tails, 1):
        inside = jnp.where(where.cluster == k, weights, 0)
        within = jnp.where(where.cluster == k, where.within, 0)
        nats += affine_nats(_projected(h, project), w, _zeros(w, dtype), within, inside)
    return nats


class _Gradients(NamedTuple):
    nats: Float[Array, " N"]
    dh: Float[Array, "N H"]
    params: Clusters


def _gradients(h: Array, params: Clusters, targets: Array, weights: Array, dtype: np.dtype) -> _Gradients:
    where = positions(targets, weights != 0, _sizes(params))
    weights = jnp.asarray(weights, dtype)
    nats, dh, of_head, _ = affine_gradients(h, params.head, _zeros(params.head, dtype), where.column, weights)
    if not params.tails:
        return _Gradients(nats, dh, Clusters(of_head, ()))

    # Rows in the order of their clusters, padded by a chunk's length, so that the last chunk fits behind them.
    chunk = max(min(CHUNK, h.shape[0]), 1)
    order = jnp.argsort(where.cluster, stable=True)
    back = jnp.zeros_like(order).at[order].set(jnp.arange(len(order), dtype=order.dtype), unique_indices=True)
    rows = _Rows(*(jnp.pad(a[order], [(0, chunk)] + [(0, 0)] * (a.ndim - 1)) for a in (h, where.within, weights)))
    sums = _Sums(jnp.zeros(len(rows.h), dtype), jnp.zeros(rows.h.shape, dtype))
    tails, begin = [], (where.cluster == 0).sum(dtype=jnp.int32)
    for k, tail in enumerate(params.tails, 1):
        count = (where.cluster == k).sum(dtype=jnp.int32)
        sums, gradient = _tail_gradients(tail, rows, sums, begin=begin, count=count, chunk=chunk)
        tails.append(gradient)
        begin += count
    return _Gradients(nats + sums.nats[back], dh + sums.dh[back].astype(dh.dtype), Clusters(of_head, tuple(tails)))


class _Rows(NamedTuple):
    """Rows in the order of their clusters."""

    h: Float[Array, "N H"]
    targets: Int[Array, " N"]
    """Columns within their clusters."""
    weights: Float[Array, " N"]


class _Sums(NamedTuple):
    """What the clusters add to nats and gradients of the rows, in the same order."""

    nats: Float[Array, " N"]
    dh: Float[Array, "N H"]


def _tail_gradients(
    tail: Tail, rows: _Rows, sums: _Sums, *, begin: Array, count: Array, chunk: int
) -> tuple[_Sums, Tail]:
    """Add one cluster's part to the sums, and return the gradient of its matrices.

    Args:
        tail: the cluster.
        rows: all rows.
        sums: the sums over the clusters before.
        begin: the first row of the cluster.
        count: number of its rows.
        chunk: rows per chunk.
    """
    dtype = sums.dh.dtype

    def of_chunk(j: Array, carry: tuple[_Sums, Tail]) -> tuple[_Sums, Tail]:
        sums, gradient = carry
        at = begin + j * chunk
        h, targets, weights, nats, dh = (lax.dynamic_slice_in_dim(a, at, chunk) for a in (*rows, *sums))
        inside = jnp.arange(chunk, dtype=count.dtype) < count - j * chunk  # a chunk may reach into the next cluster
        targets, weights = jnp.where(inside, targets, 0), jnp.where(inside, weights, 0)
        found = affine_gradients(_projected(h, tail.project), tail.w, _zeros(tail.w, dtype), targets, weights)
        dh_part = found.dh if tail.project is None else matmul(found.dh, tail.project, transpose_b=True)
        dh += dh_part.astype(dtype)
        sums = _Sums(
            lax.dynamic_update_slice_in_dim(sums.nats, nats + found.nats, at, 0),
            lax.dynamic_update_slice_in_dim(sums.dh, dh, at, 0),
        )
        dproject = None if tail.project is None else matmul(h, found.dh, transpose_a=True)
        return sums, jax.tree.map(lambda g, part: g + part.astype(dtype), gradient, Tail(dproject, found.dw))

    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, dtype), tail)
    sums, gradient = lax.fori_loop(0, (count + chunk - 1) // chunk, of_chunk, (sums, zeros))
    return sums, jax.tree.map(lambda g, a: g.astype(a.dtype), gradient, tail)


def _projected(h: Float[Array, "N H"], project: Float[Array, "H P"] | None) -> Float[Array, "N P"]:
    return h if project is None else matmul(h, project)


def _sizes(params: Clusters) -> tuple[int, ...]:
    return params.head.shape[1] - len(params.tails), *(tail.w.shape[1] for tail in params.tails)


def _zeros(w: Array, dtype: np.dtype) -> Array:
    return jnp.zeros(w.shape[1], dtype)
