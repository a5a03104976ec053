"""The contract of an output layer: hidden state to next-token distribution, its loss and its exact normaliser."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnlm_jax.array_types import Array, Key, Tree

OutputInitFn = Callable[[Key, int, int], Tree]  # (key, hidden_size, vocab_size) -> params
NatsFn = Callable[[Tree, Array, Array], Array]  # (params, hs[..., H], targets[...]) -> nats[...]
LogProbsFn = Callable[[Tree, Array], Array]  # (params, h[..., H]) -> log-probabilities[..., V]


@dataclass(frozen=True)
class OutputLayer:
    """An output layer as pure functions: ``nats`` is exact, ``-log P(target | h)``, and ``log_probs`` sums to one."""

    kind: str
    init: OutputInitFn
    nats: NatsFn
    log_probs: LogProbsFn
