"""Floating-point operations that a language model cannot do without: those of its matrix products, a token.

Every weight matrix meets every row of its input once, a multiplication and an addition a weight: 2 · rows · size. The
backward pass takes twice the forward one: a product for the gradient of the rows, another for that of the weights.
What is elementwise is not counted, and what an implementation computes twice (a projection, a chunk of time that is
recomputed) is counted once: so a share of a device's peak says what a model gets out of it (Chowdhery et al. 2022,
appendix B, "model FLOPs utilization").

============================  ====================================================================
part                          forward, a token
============================  ====================================================================
Elman, linear                 2 (D H + H H)
GRU                           2 · 3 (D H + H H)
coupled LSTM, LSTM of 1997    2 · 3 (D H + H H)
LSTM, with peepholes or not   2 · 4 (D H + H H)
LSTMP                         2 (4 D H + 4 P H + H P)
feed-forward, order n         2 (n - 1) D H
table of embeddings           0: a row is looked up
character network             its filters, highways and projection, over the words that a batch has
softmax                       2 H V
class, maxent                 2 H (C + E size of the target's class)
hierarchical                  2 H E length of the target's path
adaptive                      2 (H (V_0 + clusters) + Σ_i P(cluster i) (H P_i + P_i V_i))
importance, nce, blackout     2 H (K + 1)
============================  ====================================================================

Expectations E are over the words' counts in the training text.
"""

import inspect
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnlm_jax.config import ModelConfig
from rnnlm_jax.inputs.spellings import Spellings
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.outputs.hierarchical_softmax import tree_of
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_classes import bin_by_frequency
from rnnlm_jax.outputs.word_counts import Words

#: Output layers that score the target and some words drawn beside it.
_SAMPLED = ("importance", "nce", "blackout")


class TokenFlops(NamedTuple):
    """Floating-point operations of one token's way forward through each part of a model."""

    input: float
    cell: float
    output: float

    @property
    def forward(self) -> float:
        """Of all parts."""
        return self.input + self.cell + self.output

    @property
    def training(self) -> float:
        """Of a training step, forward and backward."""
        return 3 * self.forward


def per_row(params: Any) -> int:
    """Of one token through the weights of a cell, or a stack of them: twice the size of all its matrices."""
    return sum(2 * math.prod(leaf.shape) for leaf in jax.tree.leaves(params) if len(leaf.shape) == 2)


def token_flops(model: LanguageModel, config: ModelConfig, words: Words, tokens: int) -> TokenFlops:
    """Count a model's operations a token, from shapes and counts alone.

    Args:
        model: the model.
        config: what it was made from.
        words: its vocabulary, with counts.
        tokens: of a batch, T·B; a character network composes each distinct word among them once.
    """
    params = jax.eval_shape(model.init, jax.random.key(0))
    return TokenFlops(
        input=0.0 if model.input.is_table else _input(config, params.embedding, words, tokens),
        cell=model.cell.token_flops(params.cell),
        output=_output(model, config, params.output, words),
    )


def _output(model: LanguageModel, config: ModelConfig, params: Any, words: Words) -> float:
    hidden, kind = model.cell.spec.output_size, config.output
    share = _shares(words)
    if kind in _SAMPLED:
        return 2.0 * hidden * (_option(config, "samples") + 1)
    if kind == "hierarchical":
        return 2.0 * hidden * float(share @ tree_of(words, _option(config, "tree")).path_lengths())
    if kind in ("class", "maxent"):
        classes = bin_by_frequency(words.counts, _option(config, "classes"))
        own = float(share @ classes.sizes[classes.class_of[classes.rank]])
        return 2.0 * hidden * (classes.count + own)
    if kind == "adaptive":
        ranked = share[words.by_rank]
        tails = [(tail, tail.w.shape[1]) for tail in params.tails]
        begin, expected = model.vocab_size - sum(size for _, size in tails), 0.0
        for tail, size in tails:
            expected += float(ranked[begin : begin + size].sum()) * per_row(tail)
            begin += size
        return per_row(params.head) + expected
    return 2.0 * hidden * model.vocab_size


def _input(config: ModelConfig, params: Any, words: Words, tokens: int) -> float:
    """A character network: windows begin at every symbol of a word, and each distinct word is composed once."""
    if params is None:  # of a cell without units
        return 0.0
    options = dict(config.input_options)
    limit = {"max_length": options["max_length"]} if "max_length" in options else {}
    lengths = Spellings(words.tokens, **limit).lengths
    seen = -np.expm1(tokens * np.log1p(-np.minimum(_shares(words), 1 - 1e-12)))  # is in a batch at all
    filters = sum(per_row(bank) for bank in params.filters)
    rest = sum(per_row(layer) for layer in params.highways) + per_row(params.w_p)
    return float(seen @ (lengths * filters + rest)) / tokens


def _shares(words: Words) -> np.ndarray:
    """The probability of each word in the training text; all alike in a text without any."""
    total = words.counts.sum()
    return words.counts / total if total else np.full(words.size, 1 / words.size)


def _option(config: ModelConfig, name: str) -> Any:
    """An option of the output layer: as given, or as its factory has it."""
    given = dict(config.output_options)
    return given.get(name, inspect.signature(OUTPUTS[config.output].factory).parameters[name].default)
