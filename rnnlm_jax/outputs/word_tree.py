"""Binary trees with the words of a vocabulary at their leaves."""

from dataclasses import dataclass

import numpy as np

#: What stands above the root.
NOTHING = -1


@dataclass(frozen=True, eq=False)
class WordTree:
    """A binary tree of ``V - 1`` inner nodes and V leaves; inner nodes are numbered by depth, the root is 0.

    Attributes:
        above: int32 ``[2V - 1]``, first of the inner nodes, then of the leaves: twice the node above, plus 1 for its
            second child; ``NOTHING`` for the root.
        levels: the first inner node of each depth, and their number at the end: depth k has
            ``levels[k] … levels[k + 1] - 1``.
    """

    above: np.ndarray
    levels: tuple[int, ...]

    @property
    def vocab_size(self) -> int:
        """V."""
        return (len(self.above) + 1) // 2

    @property
    def depth(self) -> int:
        """How many inner nodes the longest path has."""
        return len(self.levels) - 1

    def path_lengths(self) -> np.ndarray:
        """How many inner nodes are above each word, ``[V]``."""
        depths = np.repeat(np.arange(1, self.depth + 1), np.diff(self.levels))
        above = self.above[self.vocab_size - 1 :]
        return depths[above // 2] if self.depth else np.zeros(1, np.int64)


def huffman_tree(counts: np.ndarray) -> WordTree:
    """The tree with the least ``Σ_v count_v · depth_v`` (Huffman 1952), over counts ``[V]``; V is at least 1.

    The two lightest nodes are joined until one is left; among equal ones words come before nodes, which keeps the
    longest path short, so that equal counts make a balanced tree. A count of 0 is taken for 1.
    """
    size = len(counts)
    order = np.argsort(np.maximum(counts, 1), kind="stable")
    words = [*np.maximum(counts, 1)[order].tolist(), np.inf, np.inf]
    masses: list[float] = []  # of inner nodes, in the order in which they are made: never falling
    children = np.zeros((max(size - 1, 0), 2), np.int64)  # a word's place in the order, or size + an inner node
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
    """The tree with its inner nodes in order of depth, those made last, which are the heaviest, first."""
    size = len(order)
    above = np.full(2 * size - 1, NOTHING, np.int64)  # by the order in which nodes were made
    above[children] = 2 * np.arange(size - 1)[:, None] + np.arange(2)
    of_words, of_nodes = above[:size], above[size:]
    # From the root down, a level at a time.
    depths, level, depth = np.zeros(size - 1, np.int64), np.arange(size - 1)[-1:], 0
    while level.size:
        depths[level] = depth
        below = children[level].ravel()
        level, depth = below[below >= size] - size, depth + 1
    ranked = np.lexsort((-np.arange(size - 1), depths))
    number = np.empty_like(ranked)
    number[ranked] = np.arange(size - 1)

    def renamed(above: np.ndarray) -> np.ndarray:
        return np.where(above < 0, NOTHING, 2 * number[above // 2] + above % 2) if size > 1 else above

    found = np.empty(2 * size - 1, np.int32)
    found[: size - 1] = renamed(of_nodes[ranked])
    found[size - 1 + order] = renamed(of_words)
    return WordTree(found, tuple(np.searchsorted(depths[ranked], np.arange(depth + 1)).tolist()))
