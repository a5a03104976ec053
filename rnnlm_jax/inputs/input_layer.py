"""The contract of an input layer: token ids to the vectors that a cell reads."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.registry.cached_factory import FactoryMade

InputInitFn = Callable[[Key, int, int], Tree]  # (key, vocab_size, embedding_size) -> params
EmbedFn = Callable[[Tree, Array], Array]  # (params, ids[*B]) -> xs[*B, D]
TableFn = Callable[[Tree], Array]  # params -> the vectors of all tokens, [V, D]


@dataclass(frozen=True)
class InputLayer(FactoryMade):
    """An input layer as pure functions: ``embed(params, ids) = table(params)[ids]``, in the dtype of the parameters.

    It is static and hashable, and made by cached factories: equal arguments give the same object. Training calls
    ``embed`` on a batch; whoever only reads a trained model forms ``table`` once and looks vectors up in it.
    """

    kind: str
    init: InputInitFn
    embed: EmbedFn
    table: TableFn
    is_table: bool = False
    """Whether the parameters are the table itself, an array ``[V, D]``: its gradient may go by row, and a softmax may
    be tied to it. Of others the parameters are a tree, whose gradient is dense."""
