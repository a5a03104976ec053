"""The hierarchical softmax: a word is a path down a binary tree, one binary decision at each inner node."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.arrays.sparse_rows import RowGradient, read_rows, unique_ids
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.output_layer import LossByRow, OutputLayer
from rnnlm_jax.outputs.tree_paths import leaf_log_probs, path_nats, paths_of, weighted_path_nats
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.outputs.word_tree import WordTree, huffman_tree
from rnnlm_jax.registry.cached_factory import cached_factory

TREES = ("huffman", "balanced")


@serialized
class HierarchicalParams(NamedTuple):
    """Vector and bias of each inner node."""

    w: Float[Array, "V-1 H"]
    b: Float[Array, " V-1"]


class GatheredNodes(NamedTuple):
    """The nodes that were gathered, each once, and the path of each target as positions among them."""

    nodes: Int[Array, " M"]
    positions: Int[Array, "N K"]
    signs: Float[Array, "N K"]


@cached_factory
def hierarchical_softmax(
    words: WordCounts, tree: str = "huffman", dtype: Any = jnp.float32, param_dtype: Any = jnp.float32
) -> OutputLayer:
    """The hierarchical softmax, ``P(v | h) = Π_k σ(±(w_k · h + b_k))`` over the inner nodes k above word v.

    The sign is + where the path goes to a node's first child (Morin & Bengio 2005, section 4; with a Huffman tree
    Mikolov et al. 2013, section 2.1). Of the ``V - 1`` nodes a target reads and updates only those above it; the
    log-probabilities of all words are one product and one pass down the tree. Both are exact, and probabilities sum to
    one.

    Args:
        words: vocabulary with word counts.
        tree: "huffman" (frequent words have short paths) or "balanced" (words of similar frequency are neighbours).
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.

    Raises:
        ArgumentError: for an unknown tree; on ``init`` if the vocabulary has another number of words.
    """
    if tree not in TREES:
        raise ArgumentError(f"`tree` must be one of {', '.join(TREES)}, not {tree!r}")
    word_tree = _word_tree(words, tree)

    def init(key: Key, hidden_size: int, vocab_size: int) -> HierarchicalParams:
        if vocab_size != words.size:
            raise ArgumentError(
                f"`words` has counts of {words.size} words and the vocabulary has {vocab_size}: give its own counts"
            )
        size = vocab_size - 1, hidden_size
        w = jax.nn.initializers.glorot_uniform()(key, size, param_dtype) if size[0] else jnp.zeros(size, param_dtype)
        return HierarchicalParams(w, jnp.zeros(size[0], param_dtype))

    def rows_of(h: Float[Array, "*B H"]) -> Float[Array, "N H"]:
        return h.astype(dtype).reshape(-1, h.shape[-1])

    def nats(params: HierarchicalParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        paths = paths_of(word_tree, targets.reshape(-1), param_dtype)
        return path_nats(rows_of(hs), params.w.astype(dtype), params.b, *paths).reshape(targets.shape)

    def gather(
        params: HierarchicalParams, targets: Int[Array, "*B"], key: Key | None
    ) -> tuple[HierarchicalParams, GatheredNodes]:
        del key  # nothing is drawn
        nodes, signs = paths_of(word_tree, targets.reshape(-1), param_dtype)
        # Of each level at most all nodes, and at most one a row.
        most = sum(min(int(size), targets.size) for size in np.diff(word_tree.levels))
        ids, positions = unique_ids(nodes.reshape(-1), most)
        gathered = jax.tree.map(lambda table: read_rows(jnp.asarray(table), ids), params)
        return gathered, GatheredNodes(ids, positions.reshape(nodes.shape), signs)

    def loss(
        gathered: HierarchicalParams,
        ids: GatheredNodes,
        hs: Float[Array, "*B H"],
        targets: Int[Array, "*B"],
        weights: Float[Array, "*B"],
    ) -> Float[Array, ""]:
        del targets  # `ids` has their paths
        w, weights = gathered.w.astype(dtype), weights.astype(param_dtype).reshape(-1)
        return weighted_path_nats(rows_of(hs), w, gathered.b, ids.positions, ids.signs, weights)

    def scatter(gradient: HierarchicalParams, ids: GatheredNodes) -> Tree:
        return jax.tree.map(lambda rows: RowGradient(ids.nodes, rows), gradient)

    def total_nats(
        params: HierarchicalParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        weights = as_floats("weights", weights, param_dtype)
        return loss(*gather(params, targets, None), hs, targets, weights)

    def log_probs(params: HierarchicalParams, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        h = as_floats("h", h, param_dtype)
        products = (rows_of(h) @ params.w.astype(dtype).T).astype(param_dtype)
        return leaf_log_probs(word_tree, products + over_batch(params.b, products)).reshape(*h.shape[:-1], -1)

    def flops(params: HierarchicalParams, word_probabilities: Float[np.ndarray, " V"]) -> float:
        return 2.0 * params.w.shape[1] * float(word_probabilities @ word_tree.path_lengths())

    return OutputLayer(
        kind="hierarchical",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        by_row=LossByRow(gather, loss, scatter),
        flops=flops,
        word_axes={"w": 0, "b": 0},
    )


def _word_tree(words: WordCounts, kind: str) -> WordTree:
    """Return the tree of a layer, "huffman" or "balanced"."""
    if kind == "huffman":
        return huffman_tree(words.counts)
    balanced = huffman_tree(np.ones(words.size, np.int64))  # its leaves are ranks
    above = balanced.above.copy()
    above[words.size - 1 + words.by_rank] = balanced.above[words.size - 1 :]
    return WordTree(above, balanced.levels)
