"""The contract of an output layer: hidden state to next-token distribution, its loss and its exact normaliser."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnlm_jax.array_types import Array, Key, Tree

OutputInitFn = Callable[[Key, int, int], Tree]  # (key, hidden_size, vocab_size) -> params
NatsFn = Callable[[Tree, Array, Array], Array]  # (params, hs[..., H], targets[...]) -> nats[...]
TotalNatsFn = Callable[[Tree, Array, Array, Array], Array]  # (params, hs[..., H], targets[...], weights[...]) -> []
LogProbsFn = Callable[[Tree, Array], Array]  # (params, h[..., H]) -> log-probabilities[..., V]


@dataclass(frozen=True)
class OutputLayer:
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
