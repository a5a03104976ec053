"""Binary trees with the words of a vocabulary at their leaves."""

from dataclasses import dataclass

import numpy as np

#: The entry of the root in ``WordTree.above``.
NOTHING = -1


@dataclass(frozen=True, eq=False)
class WordTree:
    """A binary tree of ``V - 1`` inner nodes and V leaves; inner nodes are numbered by depth, the root is 0.

    Attributes:
        above: int32 ``[2V - 1]``, inner nodes first, then leaves: twice the parent's number, plus 1 for its second
            child; ``NOTHING`` for the root.
        levels: the first inner node of each depth, then the number of inner nodes: depth k has the nodes
            ``levels[k] … levels[k + 1] - 1``.
    """

    above: np.ndarray
    levels: tuple[int, ...]

    @property
    def vocab_size(self) -> int:
        """Number of words, V."""
        return (len(self.above) + 1) // 2

    @property
    def depth(self) -> int:
        """Number of inner nodes on the longest path."""
        return len(self.levels) - 1

    def path_lengths(self) -> np.ndarray:
        """Return the number of inner nodes above each word, ``[V]``."""
        depths = np.repeat(np.arange(1, self.depth + 1), np.diff(self.levels))
        above = self.above[self.vocab_size - 1 :]
        return depths[above // 2] if self.depth else np.zeros(1, np.int64)


def huffman_tree(counts: np.ndarray) -> WordTree:
    """Return the tree with the least ``Σ_v count_v · depth_v`` (Huffman 1952).

    The two lightest nodes are joined until one is left. Among equal ones words come before inner nodes, which keeps the
    longest path short: equal counts give a balanced tree. A count of 0 is taken as 1.

    Args:
        counts: word counts ``[V]``, V at least 1.
    """
    size = len(counts)
    order = np.argsort(np.maximum(counts, 1), kind="stable")
    words = [*np.maximum(counts, 1)[order].tolist(), np.inf, np.inf]
    masses: list[float] = []  # counts below each inner node, which never decrease in the order of creation
    children = np.zeros((max(size - 1, 0), 2), np.int64)  # a word's position in `order`, or size + an inner node
    word = node = 0
    for made in range(size - 1):
        mass = 0
        for side in (0, 1):
            if node == made or words[word] <= masses[node]:
                mass += words[word]
                children[made, side] = word
                word += 1
            else:
                mass += masses[node]
                children[made, side] = size + node
                node += 1
        masses.append(mass)
    return _numbered(children, order)


def _numbered(children: np.ndarray, order: np.ndarray) -> WordTree:
    """Return the tree with inner nodes numbered by depth, and within a depth from the last created (heaviest) on."""
    size = len(order)
    above = np.full(2 * size - 1, NOTHING, np.int64)  # in the order of creation
    above[children] = 2 * np.arange(size - 1)[:, None] + np.arange(2)
    of_words, of_nodes = above[:size], above[size:]
    # The depth of each inner node, one level at a time from the root.
    depths, level, depth = np.zeros(size - 1, np.int64), np.arange(size - 1)[-1:], 0
    while level.size:
        depths[level] = depth
        below = children[level].ravel()
        level, depth = below[below >= size] - size, depth + 1
    ranked = np.lexsort((-np.arange(size - 1), depths))
    number = np.empty_like(ranked)
    number[ranked] = np.arange(size - 1)

    def renumbered(above: np.ndarray) -> np.ndarray:
        return np.where(above < 0, NOTHING, 2 * number[above // 2] + above % 2) if size > 1 else above

    found = np.empty(2 * size - 1, np.int32)
    found[: size - 1] = renumbered(of_nodes[ranked])
    found[size - 1 + order] = renumbered(of_words)
    return WordTree(found, tuple(np.searchsorted(depths[ranked], np.arange(depth + 1)).tolist()))
