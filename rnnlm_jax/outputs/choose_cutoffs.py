"""Cut-offs of an adaptive softmax with the least expected time of a batch, found by dynamic programming."""

from typing import Protocol

import numpy as np

from rnnlm_jax.errors import ArgumentError, UserError
from rnnlm_jax.outputs.cutoffs import tail_sizes

#: Number of candidates for a cut-off, evenly spaced on a logarithmic scale.
CANDIDATES = 200
#: Most clusters that are tried where their number is not given.
MAX_CLUSTERS = 4
#: Only the words in the head read all units, and a model is worse where they are few. So the head has words that make
#: up at least this share of the text, or this many words: the published cut-offs begin at 2000.
MIN_HEAD_SHARE = 0.75
ENOUGH_WORDS = 2000


class CostFn(Protocol):
    """The time that the loss of a group of words takes; see ``ProductCost``."""

    def __call__(self, words: np.ndarray | int, rows: np.ndarray | float, units: int, /) -> np.ndarray | float:
        """Return seconds, for numbers or arrays: ``rows`` of ``units`` units against ``words`` words."""
        ...


def choose_cutoffs(
    counts: np.ndarray,
    hidden_size: int,
    rows: int,
    *,
    clusters: int | None,
    cost: CostFn,
    div_value: float = 4,
    min_head_share: float = MIN_HEAD_SHARE,
) -> tuple[int, ...]:
    """Return the cut-offs with the least expected time of a batch (Grave et al. 2017, section 4).

    With ``p_i`` the share of the text that cluster i makes up, ``d_i = ⌊H / div_value^i⌋``, and J clusters, the time is

        g(k_0 + J, B, H) + Σ_i g(k_i, p_i B, d_i) + g(d_i, p_i B, H).

    The last term is the projection, which clusters of H units do not have.

    Args:
        counts: word counts in the training text, in any order.
        hidden_size: H.
        rows: B, targets per batch.
        clusters: J, number of clusters besides the head; None takes the fastest number.
        cost: g.
        div_value: see ``adaptive_softmax``.
        min_head_share: least share of the text in the head, if at most ``ENOUGH_WORDS`` words make it up.

    Raises:
        ArgumentError: if there are too few words for so many clusters, or too few units.
    """
    counts = np.sort(np.maximum(np.asarray(counts, np.float64), 0))[::-1]
    if len(counts) < 2 or counts[0] <= 0:
        raise ArgumentError("`cutoffs` can be chosen for a vocabulary of at least 2 words, some of them counted")
    mass = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    tried = [clusters] if clusters is not None else range(1, MAX_CLUSTERS + 1)
    solutions: list[tuple[float, tuple[int, ...]]] = []
    for number in tried:
        try:
            first = _smallest_head(mass, number, min_head_share)
            widths = tail_sizes(hidden_size, number, div_value)
            solutions.append(_fastest(mass, first, widths, hidden_size=hidden_size, rows=rows, cost=cost))
        except UserError:
            if clusters is not None or number == 1:
                raise
    return min(solutions)[1]


def _smallest_head(mass: np.ndarray, clusters: int, min_head_share: float) -> int:
    """Return the least number of words in the head; it may take all words but one for each cluster."""
    size = len(mass) - 1
    reaching = int(np.searchsorted(mass, min(min_head_share, mass[-1]) - 1e-12))
    first = min(max(reaching, 1), ENOUGH_WORDS, size - clusters)
    if clusters < 1 or first < 1:
        raise ArgumentError(f"{size} words are too few for a head and {clusters} clusters: ask for fewer")
    return first


def _fastest(
    mass: np.ndarray, first: int, widths: tuple[int, ...], *, hidden_size: int, rows: int, cost: CostFn
) -> tuple[float, tuple[int, ...]]:
    """Return the least time with a number of clusters, and its cut-offs.

    Args:
        mass: ``mass[k]`` is the share of the text that the first k words make up.
        first: least number of words in the head.
        widths: units of each cluster.
        hidden_size: units of the head.
        rows: targets per batch.
        cost: cost of a product.
    """
    size, clusters = len(mass) - 1, len(widths)
    spaced = np.geomspace(first, size, CANDIDATES).astype(int)
    near_end = np.arange(size - clusters, size)  # so that a solution exists however few words there are
    ends = np.unique(np.concatenate([spaced[spaced < size], near_end[near_end >= first], [size]]))
    times = cost(ends[:-1] + clusters, rows, hidden_size)  # of the head, for each of its ends
    times = np.append(times, np.inf)  # a head of all words leaves no cluster
    best_begins = []
    words = ends[None, :] - ends[:, None]  # in a cluster from one candidate to another
    cluster_rows = np.maximum(rows * (mass[ends][None, :] - mass[ends][:, None]), 0)
    for width in widths:
        tail = cost(np.maximum(words, 1), cluster_rows, width)
        if width < hidden_size:
            tail = tail + cost(width, cluster_rows, hidden_size)
        total = np.where(words > 0, times[:, None] + tail, np.inf)
        best_begins.append(total.argmin(axis=0))
        times = total.min(axis=0)
    end, cutoffs = len(ends) - 1, []
    for begins in reversed(best_begins):
        end = begins[end]
        cutoffs.append(int(ends[end]))
    return float(times[-1]), tuple(reversed(cutoffs))
