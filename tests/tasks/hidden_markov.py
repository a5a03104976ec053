"""What an ideal reader of a stream of joined pieces knows: exact beliefs, and how often it is right in long streams."""

from typing import NamedTuple

import numpy as np


class Reader(NamedTuple):
    """All states of knowledge that a reader can be in."""

    next_probs: np.ndarray
    """``[S, V]``: the probabilities of the next symbol in each."""
    shares: np.ndarray
    """``[S]``: how often it is in each, in long streams."""


def reader(pieces):
    """The reader of pieces drawn uniformly, each a list of distributions of its symbols ``[V]``."""
    emissions = np.array([distribution for piece in pieces for distribution in piece])
    starts = np.cumsum([0, *map(len, pieces)])
    begin = np.zeros(len(emissions))
    begin[starts[:-1]] = 1 / len(pieces)
    moves = np.eye(len(emissions), k=1)
    moves[starts[1:] - 1] = begin
    beliefs, index, steps = [], {}, []

    def number(belief):
        key = tuple(np.round(belief, 9))
        if key not in index:
            index[key] = len(beliefs)
            beliefs.append(belief)
        return index[key]

    def read(predicted):
        joint = predicted[:, None] * emissions
        for symbol in np.flatnonzero(joint.sum(axis=0) > 1e-12):
            probability = joint[:, symbol].sum()
            yield number(joint[:, symbol] / probability), symbol, probability

    first = list(read(begin))
    while len(steps) < len(beliefs):
        steps.append(list(read(beliefs[len(steps)] @ moves)))
        assert len(beliefs) < 5000
    chain, next_probs = np.zeros((len(steps), len(steps))), np.zeros((len(steps), emissions.shape[1]))
    for state, row in enumerate(steps):
        for after, symbol, probability in row:
            chain[state, after] += probability
            next_probs[state, symbol] += probability
    shares = np.zeros(len(steps))
    for state, _, probability in first:
        shares[state] += probability
    lazy = np.linalg.matrix_power((chain + np.eye(len(steps))) / 2, 4096)  # the same long run, without its cycles
    return Reader(next_probs, shares @ lazy)
