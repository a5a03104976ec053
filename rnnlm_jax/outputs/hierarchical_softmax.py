"""The hierarchical softmax: a word is a path down a binary tree, and costs as many decisions as the path is long."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.arrays.sparse_rows import RowGradient, read_rows
from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.distinct_rows import distinct_rows
from rnnlm_jax.outputs.output_layer import LossByRow, OutputLayer
from rnnlm_jax.outputs.tree_paths import leaf_log_probs, path_nats, paths_of, weighted_path_nats
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.outputs.word_tree import WordTree, huffman_tree
from rnnlm_jax.registry.cached_factory import cached_factory

TREES = ("huffman", "balanced")


@serialized
class HierarchicalParams(NamedTuple):
    """The vector and the bias of each inner node."""

    w: Float[Array, "V-1 H"]
    b: Float[Array, " V-1"]


class PickedNodes(NamedTuple):
    """Which nodes were picked, each once, and where among them the path of each target is."""

    nodes: Int[Array, " M"]
    places: Int[Array, "N K"]
    signs: Float[Array, "N K"]


@cached_factory
def hierarchical_softmax(
    words: Words, tree: str = "huffman", dtype: Any = jnp.float32, param_dtype: Any = jnp.float32
) -> OutputLayer:
    """The hierarchical softmax, ``P(v | h) = Π_k σ(±(w_k · h + b_k))`` over the inner nodes k above word v.

    The sign is + where the path goes on to a node's first child (Morin & Bengio 2005, section 4; with a Huffman tree
    Mikolov et al. 2013, section 2.1). Of the ``V - 1`` nodes a target reads and moves only those above it; the
    log-probabilities of all words are one product and one pass down the tree. Both are exact, and sum to one.

    Args:
        words: the vocabulary with its counts.
        tree: "huffman", in which frequent words have short paths, or "balanced", neighbours by frequency together.
        dtype: of the products; logits and all that follows are in ``param_dtype``.
        param_dtype: of the parameters.

    Raises:
        UserError: for an unknown tree; on ``init`` if the vocabulary is not of as many words.
    """
    if tree not in TREES:
        raise UserError(f"unknown tree {tree!r}: choose one of {', '.join(TREES)}")
    shape = tree_of(words, tree)

    def init(key: Key, hidden_size: int, vocab_size: int) -> HierarchicalParams:
        if vocab_size != words.size:
            raise UserError(f"the counts are of {words.size} words and the vocabulary has {vocab_size}: give its own")
        size = vocab_size - 1, hidden_size
        w = jax.nn.initializers.glorot_uniform()(key, size, param_dtype) if size[0] else jnp.zeros(size, param_dtype)
        return HierarchicalParams(w, jnp.zeros(size[0], param_dtype))

    def rows_of(h: Float[Array, "*B H"]) -> Float[Array, "N H"]:
        return h.astype(dtype).reshape(-1, h.shape[-1])

    def nats(params: HierarchicalParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        paths = paths_of(shape, targets.reshape(-1), param_dtype)
        return path_nats(rows_of(hs), params.w.astype(dtype), params.b, *paths).reshape(targets.shape)

    def pick(
        params: HierarchicalParams, targets: Int[Array, "*B"], key: Key | None
    ) -> tuple[HierarchicalParams, PickedNodes]:
        del key  # nothing is drawn
        nodes, signs = paths_of(shape, targets.reshape(-1), param_dtype)
        # No more than a level has, and no more than one a row.
        most = sum(min(int(size), targets.size) for size in np.diff(shape.levels))
        ids, places = distinct_rows(nodes.reshape(-1), most)
        picked = jax.tree.map(lambda table: read_rows(jnp.asarray(table), ids), params)
        return picked, PickedNodes(ids, places.reshape(nodes.shape), signs)

    def loss(
        picked: HierarchicalParams,
        ids: PickedNodes,
        hs: Float[Array, "*B H"],
        targets: Int[Array, "*B"],
        weights: Float[Array, "*B"],
    ) -> Float[Array, ""]:
        del targets  # the paths are theirs
        counted = weights.astype(param_dtype).reshape(-1)
        return weighted_path_nats(rows_of(hs), picked.w.astype(dtype), picked.b, ids.places, ids.signs, counted)

    def scatter(gradient: HierarchicalParams, ids: PickedNodes) -> HierarchicalParams:
        return HierarchicalParams(*(RowGradient(ids.nodes, rows) for rows in gradient))  # type: ignore[arg-type]

    def total_nats(
        params: HierarchicalParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        weights = as_floats("weights", weights, param_dtype)
        return loss(*pick(params, targets, None), hs, targets, weights)

    def log_probs(params: HierarchicalParams, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        h = as_floats("h", h, param_dtype)
        products = (rows_of(h) @ params.w.astype(dtype).T).astype(param_dtype)
        return leaf_log_probs(shape, products + over_batch(params.b, products)).reshape(*h.shape[:-1], -1)

    return OutputLayer("hierarchical", init, nats, total_nats, log_probs, LossByRow(pick, loss, scatter))


@functools.lru_cache(maxsize=4)
def tree_of(words: Words, kind: str) -> WordTree:
    """The tree of a layer, "huffman" or "balanced", cached: layers of other types share it."""
    if kind == "huffman":
        return huffman_tree(words.counts)
    balanced = huffman_tree(np.ones(words.size, np.int64))  # its leaves are ranks
    above = balanced.above.copy()
    above[words.size - 1 + words.by_rank] = balanced.above[words.size - 1 :]
    return WordTree(above, balanced.levels)
