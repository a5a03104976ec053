"""The loss of a softmax in two levels, each cluster's product being made only of the rows whose targets lie in it."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.outputs.affine_cross_entropy import affine_gradients, affine_nats

#: Rows of a cluster that are taken at once: their number is known only as the program runs, so that they are taken
#: in chunks of a fixed length, as many as there are. Each chunk costs a pass over the gradient of the cluster's words.
CHUNK = 256
#: A column that no product has: its loss is NaN.
NOWHERE = 2**31 - 1


class Tail(NamedTuple):
    """One cluster of rarer words: ``softmax((h project) w)`` over the words in it, P units each."""

    project: Float[Array, "H P"] | None
    """None: P is H, and h goes in as it is."""
    w: Float[Array, "P V"]


class Clusters(NamedTuple):
    """The most frequent words with one more column for each cluster of the others, and those clusters."""

    head: Float[Array, "H V"]
    tails: tuple[Tail, ...]


class Places(NamedTuple):
    """Where targets lie: 0 for the head or the number of a cluster, the column in the head, and within the cluster."""

    cluster: Int[Array, " N"]
    column: Int[Array, " N"]
    within: Int[Array, " N"]


def places(targets: Int[Array, " N"], counted: Array, sizes: tuple[int, ...]) -> Places:
    """Where targets lie in clusters of these sizes, the head first.

    As elsewhere a negative target counts from the end, and one that is no word has no column. What is not counted
    lies in the head, where it costs least.
    """
    bounds = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    targets = jnp.where(targets < 0, targets + bounds[-1], targets).astype(jnp.int32)
    is_word = (targets >= 0) & (targets < bounds[-1])
    cluster = sum((targets >= bound).astype(jnp.int32) for bound in bounds[:-1])
    cluster = jnp.where(is_word & counted, cluster, 0)
    column = jnp.where(cluster > 0, sizes[0] - 1 + cluster, targets)
    starts = jnp.asarray([0, *bounds[:-1]], jnp.int32)
    return Places(cluster, jnp.where(is_word, column, NOWHERE), targets - starts[cluster])


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def clustered_nats(
    h: Float[Array, "N H"],
    params: Clusters,
    targets: Int[Array, " N"],
    weights: Float[Array, " N"],
    dtype: Any,
) -> Float[Array, ""]:
    """``Σ_n weight_n ℓ_n`` of ``row_nats``; its gradients are formed with it, as ``weighted_nats`` forms those of one.

    Of a cluster's matrices only the rows with a target in it are multiplied, and a cluster without any costs nothing
    but the zeros of its gradient.
    """
    return _sum(weights, row_nats(h, params, targets, weights, dtype))


def row_nats(
    h: Float[Array, "N H"], params: Clusters, targets: Int[Array, " N"], weights: Float[Array, " N"], dtype: Any
) -> Float[Array, " N"]:
    """``-log P(target | h)`` of each row in nats, 0 where the weight is; plain, so that it has every derivative.

    Args:
        h: hidden states.
        params: the matrices; products are of the type of all these.
        targets: words.
        weights: of the rows.
        dtype: of logits and sums.
    """
    where = places(targets, weights != 0, _sizes(params))
    weights = jnp.asarray(weights, dtype)
    nats = affine_nats(h, params.head, _zeros(params.head, dtype), where.column, weights)
    for k, (project, w) in enumerate(params.tails, 1):
        inside = jnp.where(where.cluster == k, weights, 0)
        within = jnp.where(where.cluster == k, where.within, 0)
        nats += affine_nats(_narrowed(h, project), w, _zeros(w, dtype), within, inside)
    return nats


class _Gradients(NamedTuple):
    nats: Float[Array, " N"]
    dh: Float[Array, "N H"]
    params: Clusters


def _gradients(h: Array, params: Clusters, targets: Array, weights: Array, dtype: Any) -> _Gradients:
    where = places(targets, weights != 0, _sizes(params))
    weights = jnp.asarray(weights, dtype)
    nats, dh, of_head, _ = affine_gradients(h, params.head, _zeros(params.head, dtype), where.column, weights)
    if not params.tails:
        return _Gradients(nats, dh, Clusters(of_head, ()))

    # Rows in order of their clusters, with a chunk's length of nothing behind them: a chunk never has to be moved back.
    chunk = max(min(CHUNK, h.shape[0]), 1)
    order = jnp.argsort(where.cluster, stable=True)
    back = jnp.zeros_like(order).at[order].set(jnp.arange(len(order), dtype=order.dtype), unique_indices=True)
    rows, goals, counted = (
        jnp.pad(a[order], [(0, chunk)] + [(0, 0)] * (a.ndim - 1)) for a in (h, where.within, weights)
    )
    sums = _Sums(jnp.zeros(len(rows), dtype), jnp.zeros(rows.shape, dtype))
    tails, begin = [], (where.cluster == 0).sum(dtype=jnp.int32)
    for k, tail in enumerate(params.tails, 1):
        count = (where.cluster == k).sum(dtype=jnp.int32)
        sums, found = _tail(rows, goals, counted, tail, begin, count, chunk, sums)
        tails.append(found)
        begin += count
    return _Gradients(nats + sums.nats[back], dh + sums.dh[back].astype(dh.dtype), Clusters(of_head, tuple(tails)))


class _Sums(NamedTuple):
    nats: Float[Array, " N"]
    dh: Float[Array, "N H"]


def _tail(
    rows: Array, goals: Array, weights: Array, tail: Tail, begin: Array, count: Array, chunk: int, sums: _Sums
) -> tuple[_Sums, Tail]:
    """Adds one cluster's part to what rows have, and gives the gradient of its matrices."""
    dtype = sums.dh.dtype

    def of_chunk(j: Array, carry: tuple[_Sums, Tail]) -> tuple[_Sums, Tail]:
        sums, gradient = carry
        at = begin + j * chunk
        some, goal, weight, nats, dh = (
            lax.dynamic_slice_in_dim(a, at, chunk) for a in (rows, goals, weights, sums.nats, sums.dh)
        )
        inside = jnp.arange(chunk, dtype=count.dtype) < count - j * chunk  # a chunk may reach into the next cluster
        weight, goal = jnp.where(inside, weight, 0), jnp.where(inside, goal, 0)
        found = affine_gradients(_narrowed(some, tail.project), tail.w, _zeros(tail.w, dtype), goal, weight)
        moved = found.dh if tail.project is None else matmul(found.dh, tail.project, transpose_b=True)
        dh += moved.astype(dtype)
        sums = _Sums(
            lax.dynamic_update_slice_in_dim(sums.nats, nats + found.nats, at, 0),
            lax.dynamic_update_slice_in_dim(sums.dh, dh, at, 0),
        )
        of_project = None if tail.project is None else matmul(some, found.dh, transpose_a=True)
        return sums, jax.tree.map(lambda g, more: g + more.astype(dtype), gradient, Tail(of_project, found.dw))

    none = jax.tree.map(lambda a: jnp.zeros(a.shape, dtype), tail)
    sums, gradient = lax.fori_loop(0, (count + chunk - 1) // chunk, of_chunk, (sums, none))
    return sums, jax.tree.map(lambda g, a: g.astype(a.dtype), gradient, tail)


@clustered_nats.defjvp
def _clustered_nats_jvp(dtype: Any, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    h, params, targets, weights = primals
    moved_h, moved_params, _, moved_weights = tangents
    found = _gradients(h, params, targets, weights, dtype)
    pairs = zip(jax.tree.leaves((found.dh, found.params)), jax.tree.leaves((moved_h, moved_params)), strict=True)
    moved = sum((g.astype(dtype) * t.astype(dtype)).sum() for g, t in pairs)
    return _sum(weights, found.nats), moved + _sum(moved_weights, found.nats)


def _narrowed(h: Float[Array, "N H"], project: Float[Array, "H P"] | None) -> Float[Array, "N P"]:
    return h if project is None else matmul(h, project)


def _sizes(params: Clusters) -> tuple[int, ...]:
    return params.head.shape[1] - len(params.tails), *(tail.w.shape[1] for tail in params.tails)


def _zeros(w: Array, dtype: Any) -> Array:
    return jnp.zeros(w.shape[1], dtype)


def _sum(weights: Array, nats: Array) -> Array:
    return (weights.astype(nats.dtype) * nats).sum()
