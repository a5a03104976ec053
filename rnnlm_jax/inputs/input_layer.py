"""The contract of an input layer: token ids to the vectors that a cell reads, and the facts that the layer declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.registry.cached_factory import FactoryMade


class InputInitFn(Protocol):
    """Draws fresh parameters."""

    def __call__(self, key: Key, vocab_size: int, embedding_size: int, /) -> Tree:
        """Return parameters for ``vocab_size`` tokens with vectors of ``embedding_size`` entries."""
        ...


class EmbedFn(Protocol):
    """Computes the vectors of some tokens."""

    def __call__(self, params: Tree, ids: Int[Array, "*B"], /) -> Float[Array, "*B D"]:
        """Return the vectors of token ids, in the dtype of the parameters.

        Args:
            params: parameters of the layer.
            ids: token ids ``[*B]``.

        Returns:
            vectors ``[*B, D]``.
        """
        ...


class TableFn(Protocol):
    """Computes the vectors of all tokens."""

    def __call__(self, params: Tree, /) -> Float[Array, "V D"]:
        """Return the vectors of all tokens by id, ``[V, D]``."""
        ...


class InputFlopsFn(Protocol):
    """Counts the operations of one token."""

    def __call__(self, params: Tree, word_probabilities: Float[np.ndarray, " V"], tokens: int, /) -> float:
        """Return the expected floating-point operations of the matrix products of one token's forward pass.

        Args:
            params: parameters, of which only the shapes are read.
            word_probabilities: the relative frequency of each token id in the training text; they sum to one.
            tokens: tokens of a batch, T·B.
        """
        ...


@dataclass(frozen=True)
class InputLayer(FactoryMade):
    """An input layer as pure functions, ``embed(params, ids) = table(params)[ids]``, and facts that others need.

    It is static and hashable, and made by cached factories: equal arguments give the same object. Training calls
    ``embed`` on a batch; a program that only reads a trained model forms ``table`` once and looks vectors up in it. A
    fact that is not declared (None) raises an ``ArgumentError`` where it is needed.
    """

    kind: str
    init: InputInitFn
    embed: EmbedFn
    table: TableFn
    is_table: bool = False
    """Whether the parameters are the table itself, an array ``[V, D]``: then its gradient may be by row, and an output
    layer may be tied to it. The parameters of other layers are a tree with a dense gradient."""
    flops: InputFlopsFn | None = None
    """Forward operations of a token."""
    word_axes: Mapping[str, int] | None = field(default=None, hash=False)
    """The axis that runs over tokens, of each parameter that has one, by the parameter's path; a table that is all of
    the parameters has the path "". On a mesh these may be sharded; all others are replicated."""

    @property
    def rows_by_id(self) -> bool:
        """Whether the parameters are one row for each token, by id, so that rows can be copied by word."""
        return self.is_table
