"""The beginnings that sentences share, each once: hypotheses of one utterance differ in few words."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.data import EncodedText


class TreeLevel(NamedTuple):
    """The M distinct beginnings of one length, each a beginning one word shorter and a word."""

    parents: Int[np.ndarray, "M"]  # places in the level before; 0 in the first level, before which there is nothing
    words: Int[np.ndarray, "M"]
    tokens: int
    """Of the text, that end one of them."""


class PrefixTree(NamedTuple):
    """All distinct beginnings of the sentences of a text."""

    levels: tuple[TreeLevel, ...]
    """Of length 1, 2, …"""
    nodes: Int[np.ndarray, "N"]
    """Of each token of the text, the beginning that ends with it, counted through all levels."""


def prefix_tree(text: EncodedText, vocab_size: int) -> PrefixTree:
    """The beginnings of the lines of a text, by sorting one length after the other: O(N log L) for L lines."""
    starts = np.concatenate([[0], text.line_ends[:-1]]).astype(np.int64)
    lengths = text.line_ends - starts
    lines = np.flatnonzero(lengths)  # longer than the level
    parents = np.zeros(lines.size, np.int64)
    nodes = np.empty(len(text), np.int64)
    levels: list[TreeLevel] = []
    first = 0
    while lines.size:
        places = starts[lines] + len(levels)
        beginnings, of = np.unique(parents * vocab_size + text.tokens[places], return_inverse=True)
        levels.append(TreeLevel(beginnings // vocab_size, (beginnings % vocab_size).astype(np.int32), lines.size))
        nodes[places] = first + of
        first += beginnings.size
        longer = lengths[lines] > len(levels)
        lines, parents = lines[longer], of[longer].astype(np.int64)
    return PrefixTree(tuple(levels), nodes)
