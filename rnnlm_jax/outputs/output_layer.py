"""The contract of an output layer: hidden state to next-token distribution, its loss and its exact normaliser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rnnlm_jax.array_types import Array, Int, Key, Tree
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.registry.cached_factory import FactoryMade

OutputInitFn = Callable[[Key, int, int], Tree]  # (key, hidden_size, vocab_size) -> params
# Hidden states, and the targets of ``PickFn``, are arrays; or for a layer with a past ``WithPast``.
NatsFn = Callable[[Tree, Any, Array], Array]  # (params, hs[..., H], targets[...]) -> nats[...]
TotalNatsFn = Callable[[Tree, Any, Array, Array], Array]  # (params, hs[..., H], targets[...], weights[...]) -> []
LogProbsFn = Callable[[Tree, Any], Array]  # (params, h[..., H]) -> log-probabilities[..., V]
PickFn = Callable[[Tree, Any, Array | None], tuple[Tree, Tree]]  # (params, targets[...], key) -> (picked, ids)
PickedLossFn = Callable[[Tree, Tree, Any, Array, Array], Array]  # (picked, ids, hs, targets, weights) -> []
ScatterFn = Callable[[Tree, Tree], Tree]  # (gradient of picked, ids) -> gradient of params


@serialized
class WithPast(NamedTuple):
    """What a layer with a ``past`` is given in place of hidden states, or of targets in ``pick``."""

    own: Any
    """Hidden states ``[..., H]``; or targets ``[...]``."""
    words: Int[Array, "*B P"]
    """The words before each target, the last one first; -1 before the first word of a text."""


def unchanged(params: Tree) -> Tree:
    """Return the parameters as they are."""
    return params


@dataclass(frozen=True)
class LossByRow:
    """A training loss that reads few rows of the parameters: those of the targets, and of what is drawn beside them.

    ``pick`` reads the rows, ``loss`` is a function of them alone, to be differentiated by ``picked`` and ``hs``, and
    ``scatter`` says whose rows the gradient of ``picked`` are. No array as large as the parameters is formed.
    """

    pick: PickFn
    """``ids`` is whatever ``loss`` and ``scatter`` need besides: which rows were picked, how likely each was."""
    loss: PickedLossFn
    """``Σ weight · ℓ``; what has weight 0 counts for nothing."""
    scatter: ScatterFn
    """A tree like the parameters, whose leaves may be of ``RowGradient``, each row named once."""


@dataclass(frozen=True)
class OutputLayer(FactoryMade):
    """An output layer as pure functions: ``nats`` is exact, ``-log P(target | h)``, and ``log_probs`` sums to one.

    ``total_nats`` is ``Σ weight · nats``, made to be differentiated: its gradients by parameters and hidden states are
    formed as the loss is, in memory that does not grow with the number of targets. What has weight 0 (padding) counts
    for nothing and may be anything finite.
    """

    kind: str
    init: OutputInitFn
    nats: NatsFn
    total_nats: TotalNatsFn
    log_probs: LogProbsFn
    by_row: LossByRow | None = None
    """What training differentiates in place of ``total_nats``."""
    sampled: bool = False
    """Whether the loss of ``by_row`` is drawn at random (then ``pick`` needs a key), and no nats of anything."""
    past: int = 0
    """How many of the words before a target the layer reads itself. If any, it is given ``WithPast``."""
    start: Callable[[Tree], Tree] = unchanged
    """Parameters drawn at random, with what starts at a value of its own put back."""
