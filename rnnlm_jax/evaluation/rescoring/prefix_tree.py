"""Prefix tree of sentences: each distinct beginning once, because hypotheses of an utterance differ in few words."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.data import EncodedText


class TreeLevel(NamedTuple):
    """The M distinct prefixes of one length; each extends a prefix of the level before by one word."""

    parents: Int[np.ndarray, "M"]
    """Indices into the level before; 0 in the first level, whose parent is the empty prefix."""
    words: Int[np.ndarray, "M"]
    tokens: int
    """Number of tokens of the text that end a prefix of this level."""


class PrefixTree(NamedTuple):
    """All distinct prefixes of the sentences of a text."""

    levels: tuple[TreeLevel, ...]
    """Prefixes of length 1, 2, …"""
    nodes: Int[np.ndarray, "N"]
    """Index of the prefix that each token of the text ends, counted through all levels."""


def prefix_tree(text: EncodedText, vocab_size: int) -> PrefixTree:
    """Return the prefixes of the lines of a text, by sorting one length after the other: O(N log L) for L lines."""
    starts = np.concatenate([[0], text.line_ends[:-1]]).astype(np.int64)
    lengths = text.line_ends - starts
    lines = np.flatnonzero(lengths)  # lines longer than the levels so far
    parents = np.zeros(lines.size, np.int64)
    nodes = np.empty(len(text), np.int64)
    levels: list[TreeLevel] = []
    first_node = 0
    while lines.size:
        positions = starts[lines] + len(levels)
        prefixes, inverse = np.unique(parents * vocab_size + text.tokens[positions], return_inverse=True)
        levels.append(TreeLevel(prefixes // vocab_size, (prefixes % vocab_size).astype(np.int32), lines.size))
        nodes[positions] = first_node + inverse
        first_node += prefixes.size
        longer = lengths[lines] > len(levels)
        lines, parents = lines[longer], inverse[longer].astype(np.int64)
    return PrefixTree(tuple(levels), nodes)
