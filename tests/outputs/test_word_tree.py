"""Huffman's tree has the least expected path length and is numbered from the root."""

import heapq

import numpy as np
import pytest

from rnnlm_jax.outputs.word_tree import huffman_tree


def least_cost(counts):
    """``Σ count · depth`` of the best tree: the sum of all nodes that are made when the two least are joined."""
    heap, total = [max(int(c), 1) for c in counts], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total


def path(tree, word):
    """The nodes from the root to a word, and the sides taken."""
    nodes, sides = [], []
    node = tree.vocab_size - 1 + word
    while tree.above[node] >= 0:
        node, side = divmod(int(tree.above[node]), 2)
        nodes.append(node)
        sides.append(side)
    return nodes[::-1], tuple(sides[::-1])


@pytest.mark.parametrize("kind", ["zipf", "equal", "doubling", "unsorted", "zeros"])
@pytest.mark.parametrize("size", [1, 2, 3, 20, 33])
def test_trees_have_the_least_expected_path_length(kind, size):
    counts = {
        "zipf": 10_000 // np.arange(1, size + 1),
        "equal": np.full(size, 7),
        "doubling": 2 ** np.arange(size),
        "unsorted": np.random.default_rng(size).integers(0, 50, size),
        "zeros": np.zeros(size, np.int64),
    }[kind]
    tree = huffman_tree(counts)
    assert tree.vocab_size == size and len(tree.above) == 2 * size - 1
    paths = [path(tree, v) for v in range(size)]
    lengths = np.array([len(nodes) for nodes, _ in paths])
    np.testing.assert_array_equal(tree.path_lengths(), lengths)
    assert np.maximum(counts, 1) @ lengths == least_cost(counts)
    # Every word is somewhere else, all starts at the root, and a level's nodes are numbered together.
    assert len({sides for _, sides in paths}) == size
    assert sum(2.0**-length for length in lengths) == 1
    for nodes, _ in paths:
        assert all(tree.levels[k] <= node < tree.levels[k + 1] for k, node in enumerate(nodes))
    assert tree.depth == lengths.max() and tree.levels[-1] == size - 1
    if kind in ("equal", "zeros"):
        assert lengths.max() - lengths.min() <= 1
