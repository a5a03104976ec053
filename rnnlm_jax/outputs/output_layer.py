"""The contract of an output layer: hidden state to next-token distribution, its losses, and the facts it declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.registry.cached_factory import FactoryMade

#: Hidden states ``[*B, H]``; for a layer with a ``context_size`` they come in a ``WithContext``. A layer with
#: ``latents`` also takes the ``Latents`` that it has made of them.
HiddenStates = Any
#: Word ids ``[*B]``; for a layer with a ``context_size`` they come in a ``WithContext``.
Targets = Any


@serialized
class WithContext(NamedTuple):
    """Hidden states or targets together with the words before them, for a layer with a ``context_size``."""

    values: Tree
    """Hidden states ``[*B, H]``; or targets ``[*B]``."""
    words: Int[Array, "*B P"]
    """The P words before each target, the last one first; -1 before the first word of a text."""


@serialized
class Latents(NamedTuple):
    """The vectors that a layer multiplies with its matrix of words, where those are not the hidden states."""

    values: Float[Array, "*B D"] | Float[Array, "*B K D"]
    """One vector of each hidden state, or K. Dropout of rate ``Dropout.latent`` is applied to them."""
    rest: Tree = None
    """What else the layer computes from hidden states."""


class OutputInitFn(Protocol):
    """Draws fresh parameters."""

    def __call__(self, key: Key, hidden_size: int, vocab_size: int, /) -> Tree:
        """Return parameters for hidden states of ``hidden_size`` units and a vocabulary of ``vocab_size`` words."""
        ...


class TiedInitFn(Protocol):
    """Draws fresh parameters of a layer whose matrix of words is the embedding."""

    def __call__(self, key: Key, hidden_size: int, embedding_size: int, vocab_size: int, /) -> Tree:
        """Return parameters for hidden states of ``hidden_size`` units and an embedding ``[V, D]``, D any width."""
        ...


class LatentsFn(Protocol):
    """Maps hidden states to the vectors that meet the matrix of words."""

    def __call__(self, params: Tree, hs: HiddenStates, /) -> Latents:
        """Return the latents of hidden states; ``nats``, ``total_nats`` and ``log_probs`` take them in their place.

        Args:
            params: parameters of the layer.
            hs: hidden states ``[*B, H]``.

        Raises:
            ArgumentError: if these parameters have no map between hidden states and words.
        """
        ...


class NatsFn(Protocol):
    """Computes exact negative log-likelihoods."""

    def __call__(self, params: Tree, hs: HiddenStates, targets: Int[Array, "*B"], /) -> Float[Array, "*B"]:
        """Return ``-log P(target | h)`` of each target in nats.

        Args:
            params: parameters of the layer.
            hs: hidden states ``[*B, H]``, or ``WithContext``.
            targets: word ids ``[*B]``; a negative one counts from the end of the vocabulary.

        Returns:
            nats ``[*B]``; NaN for a target that is not a word.
        """
        ...


class TotalNatsFn(Protocol):
    """Computes the exact loss that training differentiates."""

    def __call__(
        self, params: Tree, hs: HiddenStates, targets: Int[Array, "*B"], weights: Float[Array, "*B"], /
    ) -> Float[Array, ""]:
        """Return ``Σ weight · nats``.

        Its gradients by parameters and hidden states are formed together with it, in memory that does not grow with the
        number of targets.

        Args:
            params: parameters of the layer.
            hs: hidden states ``[*B, H]``, or ``WithContext``.
            targets: word ids ``[*B]``.
            weights: weights ``[*B]``; a target of weight 0 (padding) adds nothing and may be any finite number.

        Returns:
            a scalar in nats.
        """
        ...


class LogProbsFn(Protocol):
    """Computes the whole next-word distribution."""

    def __call__(self, params: Tree, h: HiddenStates, /) -> Float[Array, "*B V"]:
        """Return ``log P(v | h)`` in nats of every word v, ``[*B, V]``; the probabilities of a row sum to one.

        Args:
            params: parameters of the layer.
            h: hidden states ``[*B, H]``, or ``WithContext``.
        """
        ...


class GatherFn(Protocol):
    """Reads the rows of the parameters that a batch's loss needs."""

    def __call__(self, params: Tree, targets: Targets, key: Key | None, /) -> tuple[Tree, Tree]:
        """Return the rows, and which they are.

        Args:
            params: parameters of the layer.
            targets: word ids ``[*B]``, or ``WithContext``.
            key: random key; None for a layer that draws nothing.

        Returns:
            ``(gathered, ids)``: the rows, and all that ``loss`` and ``scatter`` need beside them (their numbers, and
            for drawn words how likely each was).
        """
        ...


class GatheredLossFn(Protocol):
    """Computes the loss from gathered rows alone."""

    def __call__(
        self,
        gathered: Tree,
        ids: Tree,
        hs: HiddenStates,
        targets: Int[Array, "*B"],
        weights: Float[Array, "*B"],
        /,
    ) -> Float[Array, ""]:
        """Return ``Σ weight · ℓ``, a scalar to be differentiated by ``gathered`` and ``hs``.

        Args:
            gathered: the rows that ``gather`` returned.
            ids: which rows they are.
            hs: hidden states ``[*B, H]``, or ``WithContext``.
            targets: word ids ``[*B]``.
            weights: weights ``[*B]``; a target of weight 0 adds nothing.
        """
        ...


class ScatterFn(Protocol):
    """Turns the gradient of gathered rows into that of the parameters."""

    def __call__(self, gradient: Tree, ids: Tree, /) -> Tree:
        """Return a tree like the parameters, whose leaves may be a ``RowGradient`` that names each row once.

        Args:
            gradient: a tree like ``gathered``.
            ids: which rows were gathered.
        """
        ...


class LogitExcessFn(Protocol):
    """Compares the logit of a target with the mean logit, for label smoothing."""

    def __call__(self, params: Tree, hs: HiddenStates, targets: Int[Array, "*B"], /) -> Float[Array, "*B"]:
        """Return ``a_target - 1/V Σ_v a_v`` of each target, with a the logits of one softmax over all words.

        Args:
            params: parameters of the layer.
            hs: hidden states ``[*B, H]``.
            targets: word ids ``[*B]``; one that is not a word gives any finite number.
        """
        ...


class OutputFlopsFn(Protocol):
    """Counts the operations of one token."""

    def __call__(self, params: Tree, word_probabilities: Float[np.ndarray, " V"], /) -> float:
        """Return the expected floating-point operations of the matrix products of one token's forward pass.

        Args:
            params: parameters, of which only the shapes are read; a tied matrix is filled in.
            word_probabilities: the relative frequency of each word id in the training text; they sum to one.
        """
        ...


class AfterUniformInitFn(Protocol):
    """Corrects parameters that were all drawn from one uniform distribution."""

    def __call__(self, params: Tree, /) -> Tree:
        """Return the parameters, with those that must start at a fixed value set to it."""
        ...


def unchanged(params: Tree) -> Tree:
    """Return the parameters as they are."""
    return params


@dataclass(frozen=True)
class LossByRow:
    """A training loss that reads few rows of the parameters: those of the targets, and of words drawn beside them.

    ``gather`` reads the rows, ``loss`` is a function of them alone, and ``scatter`` says which rows of the parameters
    their gradient belongs to. No array as large as the parameters is formed.
    """

    gather: GatherFn
    loss: GatheredLossFn
    scatter: ScatterFn


@dataclass(frozen=True)
class OutputLayer(FactoryMade):
    """An output layer as pure functions, and the facts that other packages need to know of it.

    It is static and hashable, and made by cached factories: equal arguments give the same object. A fact that is not
    declared (None) raises an ``ArgumentError`` where it is needed; training on one device needs none.
    """

    kind: str
    init: OutputInitFn
    nats: NatsFn
    total_nats: TotalNatsFn
    log_probs: LogProbsFn
    by_row: LossByRow | None = None
    """The loss that training differentiates in place of ``total_nats``."""
    sampled: bool = False
    """Whether the loss of ``by_row`` is a sampled surrogate; its value is not a log-likelihood, and it needs a key."""
    context_size: int = 0
    """How many words before a target the layer reads itself. If any, it is called with ``WithContext``."""
    nats_gradient: bool = False
    """Whether reverse mode of ``nats`` exists and costs no more than that of ``total_nats``; False if not known."""
    logit_excess: LogitExcessFn | None = None
    """For label smoothing; None: the layer is not one softmax over all words, and smoothing is refused."""
    after_uniform_init: AfterUniformInitFn = unchanged
    """Applied to parameters that the model has drawn with ``init_scale``."""
    init_tied: TiedInitFn | None = None
    """Draws parameters if embeddings are tied; None: with ``init``, for an embedding as wide as the hidden states."""
    latents: LatentsFn | None = None
    """Of a layer with a map between hidden states and words, so that dropout can be applied after it."""
    flops: OutputFlopsFn | None = None
    """Forward operations of a token."""
    word_axes: Mapping[str, int] | None = field(default=None, hash=False)
    """The axis that runs over words, of each parameter that has one: ``{"w": 1, "b": 0}``. A parameter is named by its
    path, as ``tails.0.w``. On a mesh these may be sharded; all others are replicated."""
    rows_by_id: bool = False
    """Whether each parameter in ``word_axes`` has one row for each word, in the order of ids, and no parameter depends
    on the vocabulary otherwise: then rows can be copied by word into a model with another vocabulary."""
