"""The adjustment A(f, w) of a sparse non-negative matrix: its loss on held-out text, gradient and training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm_jax.data import Progress, no_progress
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.ngrams.snm.held_out import HeldOutBlock
from rnnlm_jax.ngrams.snm.meta_features import COUNTS_ONLY, LEXICAL, MetaFeatures

#: Added to sums of squared gradients, so that a weight without gradient does not change.
TINY = 1e-12


@dataclass(frozen=True)
class Adjustment:
    """Options of training the adjustment.

    Attributes:
        lexical: use meta-features of the identity of words and features besides those of counts.
        epochs: passes over the held-out blocks; 0: no adjustment.
        learning_rate: learning rate of AdaGrad.
        block_size: number of tokens in a block; each block gives one update.
        max_blocks: maximum number of blocks, spread evenly over the text.
        seed: seed of the order of blocks.

    Raises:
        ArgumentError: a value is out of range.
    """

    lexical: bool = False
    epochs: int = 4
    learning_rate: float = 0.1
    block_size: int = 25_000
    max_blocks: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.epochs < 0:
            raise ArgumentError(f"the `epochs` of the adjustment must be 0 or more, not {self.epochs}")
        if not 0.0 < self.learning_rate < np.inf:
            raise ArgumentError(f"the `learning_rate` of the adjustment must be positive, not {self.learning_rate}")
        for name, size in (("block_size", self.block_size), ("max_blocks", self.max_blocks)):
            if size < 1:
                raise ArgumentError(f"the `{name}` of the adjustment must be at least 1, not {size}")

    @property
    def meta_features(self) -> MetaFeatures:
        """The meta-features whose weights A sums."""
        return MetaFeatures(LEXICAL, 22) if self.lexical else MetaFeatures(COUNTS_ONLY, 18)


def initial_weights(meta: MetaFeatures) -> np.ndarray:
    """Return zeros, float64 ``[2**bits + 1]``; the last entry is ln u, the weight of the uniform feature."""
    return np.zeros(2**meta.bits + 1)


def loss_and_gradient(
    weights: np.ndarray, block: HeldOutBlock, indices: np.ndarray, *, vocab_size: int
) -> tuple[float, np.ndarray]:
    """Return the summed nats of a block and their gradient (Chelba & Pereira 2015, section 3: multinomial loss).

        −Σ_t ln [ (u / V + Σ_f M_{f,w_t}) / (u + Σ_f Σ_v M_{f,v}) ],    M_{f,w} = e^{A(f,w)} C(f, w) / C(f)

    Args:
        weights: float64 ``[W + 1]``, the last is ln u.
        block: tokens and the counts of their features.
        indices: indices of the weights that A sums for each signature of the block, int32 ``[conjunctions, S]``.
        vocab_size: V.

    Returns:
        The loss in nats, and its gradient, float64 ``[W + 1]``.
    """
    size = block.signatures.fields.size
    factors = np.exp(sum((weights[row] for row in indices), np.zeros(size)))
    uniform = np.exp(weights[-1])
    entries = block.entry_values * factors[block.entry_signatures]
    rows = np.bincount(block.entry_rows, entries, block.rows)
    totals = uniform + np.bincount(block.matched_tokens, rows[block.matched_rows], block.tokens)
    targets = block.target_values * factors[block.target_signatures]
    shares = uniform / vocab_size + np.bincount(block.target_tokens, targets, block.tokens)
    loss = float(np.log(totals / shares).sum())

    of_rows = np.bincount(block.matched_rows, 1.0 / totals[block.matched_tokens], block.rows)
    of_signatures = np.bincount(block.entry_signatures, entries * of_rows[block.entry_rows], size)
    of_signatures -= np.bincount(block.target_signatures, targets / shares[block.target_tokens], size)
    gradient = np.zeros(weights.size)
    for row in indices:
        np.add.at(gradient, row, of_signatures)
    gradient[-1] += uniform * ((1.0 / totals).sum() - (1.0 / shares).sum() / vocab_size)
    return loss, gradient


def train_adjustment(
    adjustment: Adjustment,
    blocks: Sequence[Callable[[], HeldOutBlock]],
    *,
    vocab_size: int,
    progress: Progress = no_progress,
) -> tuple[np.ndarray, float]:
    """Train the weights by AdaGrad (Duchi et al. 2011) on nats per token, with one update for each block.

    Args:
        adjustment: options of training.
        blocks: functions that make the blocks.
        vocab_size: V.
        progress: called with the number of tokens of each block.

    Returns:
        The weights, and nats per token over the last epoch, each block scored before its update.
    """
    meta = adjustment.meta_features
    weights = initial_weights(meta)
    squares = np.zeros(weights.size)
    rng = np.random.default_rng(adjustment.seed)
    made: dict[int, _Prepared] = {}
    nats, tokens = 0.0, 0
    for _ in range(adjustment.epochs):
        nats, tokens = 0.0, 0
        for number in rng.permutation(len(blocks)).tolist():
            prepared = made.get(number) or _prepare(blocks[number](), meta)
            if not adjustment.lexical:  # small, since entries with equal signatures are merged
                made[number] = prepared
            block, used, indices = prepared
            loss, gradient = loss_and_gradient(weights[used], block, indices, vocab_size=vocab_size)
            gradient /= block.tokens
            squares[used] += gradient * gradient
            weights[used] -= adjustment.learning_rate * gradient / np.sqrt(squares[used] + TINY)
            nats, tokens = nats + loss, tokens + block.tokens
            progress(block.tokens)
    return weights, nats / max(tokens, 1)


class _Prepared(NamedTuple):
    """A block and the weights that it uses."""

    block: HeldOutBlock
    used: np.ndarray  # indices of the weights that the block uses, the last weight included
    indices: np.ndarray  # index among `used` of each weight of each signature, [conjunctions, S]


def _prepare(block: HeldOutBlock, meta: MetaFeatures) -> _Prepared:
    """Return a block with the weights that it uses, so that an update costs nothing for the other weights."""
    indices = meta.weight_indices(block.signatures)
    numbers = np.zeros(initial_weights(meta).size, np.int32)
    numbers[indices] = 1
    numbers[-1] = 1
    used = np.flatnonzero(numbers)
    numbers[used] = np.arange(used.size)
    return _Prepared(block, used, numbers[indices])
