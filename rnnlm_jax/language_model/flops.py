"""Floating-point operations per token of a language model's matrix products.

Every weight matrix meets every row of its input once, a multiplication and an addition per weight: 2 · rows · size. The
backward pass takes twice the forward one: a product for the gradient of the rows, another for that of the weights.
Elementwise operations are not counted, and a product that an implementation computes twice (rematerialisation) is
counted once: a share of a device's peak then says how much of it a model uses (Chowdhery et al. 2022, appendix B,
"model FLOPs utilization").

============================  ====================================================================
part                          forward operations per token
============================  ====================================================================
Elman, linear                 2 (D H + H H)
GRU                           2 · 3 (D H + H H)
coupled LSTM, LSTM of 1997    2 · 3 (D H + H H)
LSTM, with peepholes or not   2 · 4 (D H + H H)
LSTMP                         2 (4 D H + 4 P H + H P)
feed-forward, order n         2 (n - 1) D H
table of embeddings           0: a row is looked up
character network             its filters, highways and projection, over the distinct words of a batch
softmax                       2 H V
class, maxent                 2 H (C + E size of the target's class)
hierarchical                  2 H E length of the target's path
adaptive                      2 (H (V_0 + clusters) + Σ_i P(cluster i) (H P_i + P_i V_i))
importance, nce, blackout     2 H (K + 1)
============================  ====================================================================

Expectations E are over the word counts of the training text. Layers declare their own count; a cell's is that of its
matrices unless it declares another.
"""

from typing import NamedTuple

import jax
import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.language_model.declared_facts import require_declared
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.outputs.word_counts import WordCounts


class TokenFlops(NamedTuple):
    """Floating-point operations of one token's forward pass through each part of a model."""

    input: float
    cell: float
    output: float

    @property
    def forward(self) -> float:
        """Operations of the forward pass."""
        return self.input + self.cell + self.output

    @property
    def training(self) -> float:
        """Operations of a training step, forward and backward."""
        return 3 * self.forward


def token_flops(model: LanguageModel, words: WordCounts, tokens: int) -> TokenFlops:
    """Count a model's operations per token, from shapes and word counts alone.

    Args:
        model: the model.
        words: vocabulary with word counts.
        tokens: tokens of a batch, T·B; a character network composes each distinct word of a batch once.

    Raises:
        ArgumentError: if the input or output layer does not declare its ``flops``.
    """
    params = jax.eval_shape(model.init, jax.random.key(0))
    probabilities = _word_probabilities(words)
    input_flops = require_declared(model.input, model.input.flops, "flops")
    output_flops = require_declared(model.output, model.output.flops, "flops")
    return TokenFlops(
        input=input_flops(params.embedding, probabilities, tokens),
        cell=model.cell.token_flops(params.cell),
        output=output_flops(model.output_params(params), probabilities),
    )


def training_flops(model: LanguageModel, words: WordCounts, tokens: int) -> float | None:
    """Return the operations per token of a training step; None if the input or output layer does not declare them."""
    if model.input.flops is None or model.output.flops is None:
        return None
    return token_flops(model, words, tokens).training


def _word_probabilities(words: WordCounts) -> Float[np.ndarray, " V"]:
    """Return the relative frequency of each word in the training text; uniform for an empty text."""
    total = words.counts.sum()
    return words.counts / total if total else np.full(words.size, 1 / words.size)
