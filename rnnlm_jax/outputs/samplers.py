"""Words drawn once for a whole batch, with how often each is expected among them."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Key
from rnnlm_jax.arrays.sparse_rows import UNUSED
from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.proposals import Proposal

#: Slots beyond the expected number of distinct words, in standard deviations of it: one batch in three million has
#: more, of which the last ones by id are left out.
MARGIN = 5.0
#: To draw so often for one batch would take longer than a full softmax.
MOST_TRIES = 2**20


@dataclass(frozen=True, eq=False)
class Sampler:
    """``draw`` gives words, and ``exp(log_expected[v])`` is how often v is expected among them, exactly."""

    proposal: Proposal
    tries: int
    """Draws from the proposal."""
    slots: int
    """How many ids ``draw`` gives."""
    distinct: bool
    log_expected: np.ndarray
    """float64 ``[V]``."""

    def draw(self, key: Key) -> Int[Array, " slots"]:
        """Word ids. Where ``distinct``, each once, in ascending order, and ``UNUSED`` beyond the last."""
        if self.distinct and self.tries == 0:
            return jnp.arange(self.slots, dtype=jnp.int32)  # all words
        ids = self.proposal.draw(key, self.tries)
        if not self.distinct:
            return ids
        ids = jnp.sort(ids)
        slot = jnp.cumsum(jnp.diff(ids, prepend=ids[:1]) != 0, dtype=jnp.int32)
        unused = jnp.full((self.slots,), UNUSED, jnp.int32)
        return unused.at[slot].set(ids, mode="drop", indices_are_sorted=True)


def make_sampler(proposal: Proposal, samples: int, replacement: bool) -> Sampler:
    """A sampler of a given number of words.

    With replacement, v is expected ``K Q(v)`` times. Without, the proposal is tried a fixed number M of times and each
    word found is kept once: v is among them with probability ``1 - (1 - Q(v))^M``, to the last digit, because M does
    not depend on what is drawn. M is the least for which K distinct words are expected; a batch has a few more or less.

    Args:
        proposal: what to draw from.
        samples: K; V distinct ones are all words.
        replacement: whether a word may be drawn more than once.

    Raises:
        UserError: if K is no positive number, or there are fewer words, or finding so many distinct ones would take
            more draws than a full softmax takes time.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise UserError(f"samples must be a positive whole number, not {samples}")
    if not isinstance(replacement, bool):
        raise UserError(f"replacement must be true or false, not {replacement}")
    q, size = proposal.probabilities, proposal.size
    if samples > size:
        raise UserError(f"{samples} samples are more than the {size} words of the vocabulary: ask for fewer")
    if replacement:
        return Sampler(proposal, samples, samples, False, np.log(q) + np.log(samples))
    if samples == size:
        return Sampler(proposal, 0, size, True, np.zeros(size))
    tries = _tries(q, samples)
    found = -np.expm1(tries * np.log1p(-q))
    # The words that are found repel each other: their number varies less than if they were independent.
    spread = np.sqrt((found * (1 - found)).sum())
    slots = min(tries, size, int(np.ceil(found.sum() + MARGIN * spread)))
    return Sampler(proposal, tries, slots, True, np.log(found))


def _tries(q: np.ndarray, samples: int) -> int:
    """The least M with ``Σ_v 1 - (1 - Q(v))^M ≥ K``, by bisection."""
    rate = np.log1p(-q)

    def enough(tries: int) -> bool:
        return float(-np.expm1(tries * rate).sum()) >= samples

    if not enough(MOST_TRIES):
        raise UserError(
            f"{samples} distinct samples of {q.size} words would take more than {MOST_TRIES:,} draws a batch: "
            "ask for fewer, for all of them, or add replacement=true"
        )
    low, high = samples - 1, MOST_TRIES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
