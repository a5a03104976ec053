"""Samples of words for a whole batch, with the expected number of each word among them."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Key
from rnnlm_jax.arrays.sparse_rows import UNUSED
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.proposals import Proposal

#: Slots beyond the expected number of unique words, in standard deviations of it. One batch in three million has more
#: words than slots; its last words by id are left out.
MARGIN = 5.0
#: With more draws per batch a sampled loss would take longer than the full softmax.
MAX_TRIES = 2**20


@dataclass(frozen=True, eq=False)
class Sampler:
    """A way to draw words, and the exact expected number of each word among them."""

    proposal: Proposal
    num_samples: int
    """Expected number of words."""
    tries: int
    """Number of draws from the proposal."""
    slots: int
    """Number of ids that ``draw`` returns."""
    unique: bool
    """Whether each word is drawn at most once."""
    log_expected: np.ndarray
    """Logarithm of the expected number of each word, float64 ``[V]``."""

    def draw(self, key: Key) -> Int[Array, " slots"]:
        """Return word ids; if ``unique``, in ascending order, with ``UNUSED`` beyond the last."""
        if self.unique and self.tries == 0:
            return jnp.arange(self.slots, dtype=jnp.int32)  # all words
        ids = self.proposal.draw(key, self.tries)
        if not self.unique:
            return ids
        ids = jnp.sort(ids)
        slot = jnp.cumsum(jnp.diff(ids, prepend=ids[:1]) != 0, dtype=jnp.int32)
        unused = jnp.full((self.slots,), UNUSED, jnp.int32)
        return unused.at[slot].set(ids, mode="drop", indices_are_sorted=True)


def make_sampler(proposal: Proposal, num_samples: int, unique: bool) -> Sampler:
    """Return a sampler of a given number of words.

    Drawn with replacement, v is expected ``K Q(v)`` times. If ``unique``, a fixed number M of draws is made and each
    word drawn is kept once: v is among them with probability ``1 - (1 - Q(v))^M`` exactly, because M does not depend on
    the draws. M is the least for which K unique words are expected; a batch has a few more or less.

    Args:
        proposal: distribution to draw from.
        num_samples: K; V unique ones are all words.
        unique: whether each word is drawn at most once.

    Raises:
        ArgumentError: if K is not from 1 to V, or so many unique words would need more than ``MAX_TRIES`` draws.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise ArgumentError(f"`num_samples` must be a positive whole number, not {num_samples}")
    if not isinstance(unique, bool):
        raise ArgumentError(f"`unique` must be true or false, not {unique}")
    q, size = proposal.probabilities, proposal.size
    if num_samples > size:
        raise ArgumentError(
            f"`num_samples` {num_samples} is more than the {size} words of the vocabulary: ask for fewer"
        )
    if not unique:
        return Sampler(proposal, num_samples, num_samples, num_samples, False, np.log(q) + np.log(num_samples))
    if num_samples == size:
        return Sampler(proposal, num_samples, 0, size, True, np.zeros(size))
    tries = _tries(q, num_samples)
    inclusion = -np.expm1(tries * np.log1p(-q))
    # Inclusions of different words are negatively correlated: their number varies less than if they were independent.
    deviation = np.sqrt((inclusion * (1 - inclusion)).sum())
    slots = min(tries, size, int(np.ceil(inclusion.sum() + MARGIN * deviation)))
    return Sampler(proposal, num_samples, tries, slots, True, np.log(inclusion))


def _tries(q: np.ndarray, num_samples: int) -> int:
    """Return the least M with ``Σ_v 1 - (1 - Q(v))^M ≥ K``, by bisection."""
    rate = np.log1p(-q)

    def enough(tries: int) -> bool:
        return float(-np.expm1(tries * rate).sum()) >= num_samples

    if not enough(MAX_TRIES):
        raise ArgumentError(
            f"`num_samples` of {num_samples} unique words among {q.size} would take more than {MAX_TRIES:,} draws a "
            "batch: ask for fewer, for all of them, or set unique=false"
        )
    low, high = num_samples - 1, MAX_TRIES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
