"""Distributions over the vocabulary whose draws cost the same whatever its size."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Key
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.word_counts import WordCounts


@dataclass(frozen=True, eq=False)
class Proposal:
    """A distribution Q over word ids, drawn from by the alias method: two random numbers per draw, and no search.

    Column j gives word j with probability ``keep[j]``, and otherwise ``alias[j]``; all columns are equally likely
    (Walker 1977; Vose 1991).
    """

    probabilities: np.ndarray
    """Q by word id, float64 ``[V]``, all above zero."""
    keep: np.ndarray
    alias: np.ndarray

    @property
    def size(self) -> int:
        """Number of words, V."""
        return self.probabilities.size

    def draw(self, key: Key, count: int) -> Int[Array, " count"]:
        """Return independent word ids."""
        k_column, k_keep = jax.random.split(key)
        columns = jax.random.randint(k_column, (count,), 0, self.size, jnp.int32)
        stays = jax.random.uniform(k_keep, (count,), jnp.float32) < jnp.asarray(self.keep)[columns]
        return jnp.where(stays, columns, jnp.asarray(self.alias)[columns])


def proposal(words: WordCounts, kind: str, power: float | None = None) -> Proposal:
    """Return a proposal distribution.

    Args:
        words: vocabulary with word counts.
        kind: ``"log-uniform"``, ``Q(v) = ln((r + 2)/(r + 1)) / ln(V + 1)`` for the word of rank r (from 0) by falling
            count (Jozefowicz et al. 2016); or ``"unigram"``, ``Q(v) ∝ max(count(v), 1)^power``: a word that was never
            seen counts as if seen once.
        power: α of ``"unigram"``; None: 1; 0 is the uniform distribution.

    Raises:
        ArgumentError: for another kind, a power below 0 or with ``"log-uniform"``, or an empty vocabulary.
    """
    if words.size == 0:
        raise ArgumentError("`words` is empty: the vocabulary has no word to draw")
    if kind == "log-uniform":
        if power is not None:
            raise ArgumentError("`power` belongs to the proposal unigram: leave it out, or set proposal=unigram")
        ranks = np.arange(words.size)
        weights = np.empty(words.size)
        weights[words.by_rank] = np.log1p(1 / (ranks + 1.0))
    elif kind == "unigram":
        power = 1.0 if power is None else power
        if isinstance(power, bool) or not isinstance(power, int | float) or not 0 <= power < np.inf:
            raise ArgumentError(f"`power` must be 0 or more, not {power}")
        weights = np.maximum(words.counts, 1).astype(np.float64)
        weights = np.exp(power * (np.log(weights) - np.log(weights.max())))
    else:
        raise ArgumentError(f"`proposal` must be log-uniform or unigram, not {kind!r}")
    probabilities = weights / weights.sum()
    return Proposal(probabilities, *_alias_table(probabilities))


def _alias_table(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``keep`` (float32) and ``alias`` (int32) ``[V]``: each column is filled up by one word of larger share."""
    size = probabilities.size
    share = (probabilities * size).tolist()
    keep, alias = [1.0] * size, list(range(size))
    small = [v for v, s in enumerate(share) if s < 1]
    large = [v for v, s in enumerate(share) if s >= 1]
    while small and large:
        v, donor = small.pop(), large[-1]
        keep[v], alias[v] = share[v], donor
        share[donor] -= 1 - share[v]
        if share[donor] < 1:
            small.append(large.pop())
    return np.array(keep, np.float32), np.array(alias, np.int32)
