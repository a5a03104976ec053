"""The adjustment A(f, w): its loss on held-out text, the gradient of that, and AdaGrad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.snm.held_out import HeldOutBlock
from rnnlm_jax.ngrams.snm.meta_features import COUNTS_ONLY, LEXICAL, MetaFeatures

#: Added to a sum of squared gradients, so that a weight without a gradient stays where it is.
TINY = 1e-12


@dataclass(frozen=True)
class Adjustment:
    """How the adjustment is trained.

    Attributes:
        lexical: meta-features also name the word and the feature; otherwise they are counts alone.
        epochs: passes over the held-out blocks; 0: no adjustment, relative frequencies are added up.
        rate: AdaGrad's learning rate.
        block: tokens to a block, for each of which there is one update.
        blocks: how many at most, spread over the text.
        seed: of the order of blocks.
    """

    lexical: bool = False
    epochs: int = 4
    rate: float = 0.1
    block: int = 25_000
    blocks: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.epochs < 0:
            raise DataError(f"the epochs of the adjustment must not be negative, but are {self.epochs}")
        if not 0.0 < self.rate < np.inf:
            raise DataError(f"the learning rate of the adjustment must be positive, not {self.rate}")
        if self.block < 1 or self.blocks < 1:
            raise DataError(f"the adjustment needs a block of a token at least, not {self.blocks} of {self.block}")

    @property
    def meta_features(self) -> MetaFeatures:
        """What A is a sum over."""
        return MetaFeatures(LEXICAL, 22) if self.lexical else MetaFeatures(COUNTS_ONLY, 18)


def initial_weights(meta: MetaFeatures) -> np.ndarray:
    """Zeros, float64 ``[2**bits + 1]``; the last is ln u, of the feature that knows nothing."""
    return np.zeros(2**meta.bits + 1)


def loss_and_gradient(
    weights: np.ndarray, block: HeldOutBlock, places: np.ndarray, vocab_size: int
) -> tuple[float, np.ndarray]:
    """Summed nats of a block and their gradient (Chelba & Pereira 2015, section 3: multinomial loss).

        −Σ_t ln [ (u / V + Σ_f M_{f,w_t}) / (u + Σ_f Σ_v M_{f,v}) ],    M_{f,w} = e^{A(f,w)} C(f, w) / C(f)

    Args:
        weights: float64 ``[W + 1]``, the last is ln u.
        block: the tokens and what is known of their features.
        places: the weights that make up A of each of the block's signatures, ``[conjunctions, S]``.
        vocab_size: V.

    Returns:
        the loss in nats, and the gradient, float64 ``[W + 1]``.
    """
    size = block.signatures.fields.size
    factors = np.exp(sum((weights[row] for row in places), np.zeros(size)))
    uniform = np.exp(weights[-1])
    entries = block.entry_values * factors[block.entry_signatures]
    rows = np.bincount(block.entry_rows, entries, block.rows)
    totals = uniform + np.bincount(block.met_tokens, rows[block.met_rows], block.tokens)
    targets = block.target_values * factors[block.target_signatures]
    shares = uniform / vocab_size + np.bincount(block.target_tokens, targets, block.tokens)
    loss = float(np.log(totals / shares).sum())

    of_rows = np.bincount(block.met_rows, 1.0 / totals[block.met_tokens], block.rows)
    of_signatures = np.bincount(block.entry_signatures, entries * of_rows[block.entry_rows], size)
    of_signatures -= np.bincount(block.target_signatures, targets / shares[block.target_tokens], size)
    gradient = np.zeros(weights.size)
    for row in places:
        np.add.at(gradient, row, of_signatures)
    gradient[-1] += uniform * ((1.0 / totals).sum() - (1.0 / shares).sum() / vocab_size)
    return loss, gradient


def train_adjustment(
    adjustment: Adjustment,
    blocks: Sequence[Callable[[], HeldOutBlock]],
    vocab_size: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> tuple[np.ndarray, float]:
    """Train the weights by AdaGrad (Duchi et al. 2011), one update a block, on nats per token.

    Args:
        adjustment: how.
        blocks: functions that make them.
        vocab_size: V.
        progress: told the number of tokens of each block.

    Returns:
        the weights, and nats per token over the last epoch, each block scored before it was learnt from.
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
            if not adjustment.lexical:  # those are small, since alike entries are merged
                made[number] = prepared
            block, used, places = prepared
            loss, gradient = loss_and_gradient(weights[used], block, places, vocab_size)
            gradient /= block.tokens
            squares[used] += gradient * gradient
            weights[used] -= adjustment.rate * gradient / np.sqrt(squares[used] + TINY)
            nats, tokens = nats + loss, tokens + block.tokens
            progress(block.tokens)
    return weights, nats / max(tokens, 1)


class _Prepared(NamedTuple):
    """A block, which weights it uses, the last one among them, and each of their places among those."""

    block: HeldOutBlock
    used: np.ndarray
    places: np.ndarray


def _prepare(block: HeldOutBlock, meta: MetaFeatures) -> _Prepared:
    """What an update needs, so that it costs nothing for weights that the block does not use."""
    places = meta.places(block.signatures)
    numbers = np.zeros(initial_weights(meta).size, np.int32)
    numbers[places] = 1
    numbers[-1] = 1
    used = np.flatnonzero(numbers)
    numbers[used] = np.arange(used.size)
    return _Prepared(block, used, numbers[places])
