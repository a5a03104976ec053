"""Cut-offs of an adaptive softmax that make a batch cheapest: all of them are compared, by dynamic programming."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.cutoffs import tail_sizes

#: ``(words, rows, units) -> seconds``; see ``ProductCost``.
CostFn = Callable[[Any, Any, Any], Any]

#: Cut-offs are looked for among this many, evenly spaced on a logarithmic scale.
CANDIDATES = 200
#: Most clusters that are tried where their number is not given.
MOST_CLUSTERS = 4
#: Only the words in the head are read with all units, and a model is the worse for it where they are few. So the head
#: holds words that make up at least this part of the text, or so many words: the published cut-offs begin at 2000.
LEAST_HEAD = 0.75
ENOUGH_WORDS = 2000


def choose_cutoffs(
    counts: np.ndarray,
    hidden_size: int,
    rows: int,
    clusters: int | None,
    cost: CostFn,
    div_value: float = 4,
    least_head: float = LEAST_HEAD,
) -> tuple[int, ...]:
    """The cut-offs of least expected time for a batch (Grave et al. 2017, section 4).

    With ``p_i`` the part of the text that cluster i makes up, ``d_i = ⌊H / div_value^i⌋``, and J clusters, the time is

        g(k_0 + J, B, H) + Σ_i g(k_i, p_i B, d_i) + g(d_i, p_i B, H),

    the last being the projection, which clusters of H units do not have.

    Args:
        counts: of words in the training text, in any order.
        hidden_size: H.
        rows: B, targets a batch.
        clusters: J, how many besides the head; the number that is fastest unless given.
        cost: g.
        div_value: see ``adaptive_softmax``.
        least_head: the part of the text that the head has at least, if that is no more than ``ENOUGH_WORDS`` words.

    Raises:
        UserError: if there are too few words for so many clusters, or too few units.
    """
    counts = np.sort(np.maximum(np.asarray(counts, np.float64), 0))[::-1]
    if len(counts) < 2 or counts[0] <= 0:
        raise UserError("cutoffs can be chosen for a vocabulary of at least 2 words, some of them counted")
    mass = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    tried = [clusters] if clusters is not None else range(1, MOST_CLUSTERS + 1)
    found: list[tuple[float, tuple[int, ...]]] = []
    for number in tried:
        try:
            found.append(_best(mass, hidden_size, rows, number, cost, div_value, least_head))
        except UserError:
            if clusters is not None or number == 1:
                raise
    return min(found)[1]


def _best(
    mass: np.ndarray, hidden_size: int, rows: int, clusters: int, cost: CostFn, div_value: float, least_head: float
) -> tuple[float, tuple[int, ...]]:
    """The least time with so many clusters, and its cut-offs; ``mass[k]`` is the part of the first k words."""
    size = len(mass) - 1
    # Candidates, and the end of the vocabulary. The head may take all words but one for each cluster.
    reaching = int(np.searchsorted(mass, min(least_head, mass[-1]) - 1e-12))
    first = min(max(reaching, 1), ENOUGH_WORDS, size - clusters)
    if clusters < 1 or first < 1:
        raise UserError(f"{size} words are too few for a head and {clusters} clusters: ask for fewer")
    widths = tail_sizes(hidden_size, clusters, div_value)
    spaced = np.geomspace(first, size, CANDIDATES).astype(int)
    near_end = np.arange(size - clusters, size)  # so that there is a way however few words there are
    ends = np.unique(np.concatenate([spaced[spaced < size], near_end[near_end >= first], [size]]))
    times = cost(ends[:-1] + clusters, rows, hidden_size)  # of the head, by where it ends
    times = np.append(times, np.inf)  # a head of all words leaves nothing
    came_from = []
    for width in widths:
        words = ends[None, :] - ends[:, None]  # of a cluster from one candidate to another
        share = rows * (mass[ends][None, :] - mass[ends][:, None])
        some = np.maximum(words, 1)
        tail = cost(some, np.maximum(share, 0), width)
        if width < hidden_size:
            tail = tail + cost(width, np.maximum(share, 0), hidden_size)
        total = np.where(words > 0, times[:, None] + tail, np.inf)
        came_from.append(total.argmin(axis=0))
        times = total.min(axis=0)
    at, cutoffs = len(ends) - 1, []
    for step in reversed(came_from):
        at = step[at]
        cutoffs.append(int(ends[at]))
    return float(times[-1]), tuple(reversed(cutoffs))
