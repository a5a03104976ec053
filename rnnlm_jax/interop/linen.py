"""Flax linen: cells inside ``nn.RNN``, ``unroll`` with the call of ``nn.RNN``, and language models as modules.

A module has one parameter, ``"weights"``, whose value is the tree that the pure functions take, tuples included:

    variables["params"]["weights"] == cell.init(key, D)                 LinenCell
    variables["params"]["cell"]["weights"] == cell.init(key, D)         nn.RNN(LinenCell(cell)), LinenRNN(cell)
    variables["params"]["weights"] == model.init(key)                   LinenLanguageModel

``to_linen`` and ``from_linen`` write and read that path, without copies. Nested dictionaries with the same names, as
``flax.serialization.msgpack_restore`` returns them, are accepted in place of the tuples.

>>> import flax.linen as nn, jax, jax.numpy as jnp
>>> from rnnlm_jax import cells
>>> xs = jnp.ones((20, 35, 300))                                        # [B, T, D]
>>> variables = nn.RNN(LinenCell(cells.gru(64))).init(jax.random.key(0), xs)
>>> LinenRNN(cells.gru(64)).apply(variables, xs).shape                  # the same weights, a faster loop
(20, 35, 64)
"""

import flax.linen as nn

from rnnlm_jax.array_types import Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.interop.flax_rnn import SteppedCell, UnrolledRNN, check_cell
from rnnlm_jax.interop.linen_model import LinenLanguageModel
from rnnlm_jax.interop.linen_weights import from_linen, module_weights, to_linen

__all__ = ["LinenCell", "LinenLanguageModel", "LinenRNN", "from_linen", "to_linen"]


class LinenCell(SteppedCell, nn.RNNCellBase):
    """A cell for ``flax.linen.RNN``: see ``SteppedCell`` for its call.

    ``init`` draws the weights from the key that linen derives from its own for this module, so they are not those of
    ``cell.init`` with the same key.

    Attributes:
        cell: the cell.

    Raises:
        ArgumentError: for something that is not a cell; when called, for inputs or a carry that do not fit.
        WeightsError: when called, for weights that are missing or do not fit the cell.
    """

    cell: Cell
    __call__ = SteppedCell.__call__  # linen opens a scope only in methods of the class itself

    def __post_init__(self) -> None:
        """Check the cell."""
        check_cell(self.cell, type(self).__name__)
        super().__post_init__()

    @nn.compact
    def cell_params(self, input_size: int) -> Tree:
        """Return the cell's parameters for inputs ``[..., D]``."""
        owner = f"this {self.cell.spec.kind} cell over inputs of {input_size} features"
        return module_weights(self, owner, self.cell.init, input_size)

    @nn.nowrap
    def initialize_carry(self, rng: Key, input_shape: tuple[int, ...]) -> Tree:
        """Return ``cell.initial_state(*B)`` for inputs ``[*B, D]``; nothing is drawn."""
        del rng
        return self.cell.initial_state(tuple(input_shape[:-1]))


class LinenRNN(UnrolledRNN, nn.Module):
    """``unroll`` with the call and the variables of ``flax.linen.RNN``: see ``UnrolledRNN``.

    Attributes:
        cell: a ``LinenCell``, or a cell of this library.
        time_major, return_carry, reverse, keep_order, unroll, remat_chunk, executor: see ``UnrolledRNN``.
    """

    cell: LinenCell | Cell
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False
    unroll: int = 1
    remat_chunk: int | str | None = None
    executor: str | None = None
    __call__ = UnrolledRNN.__call__  # linen opens a scope only in methods of the class itself

    def __post_init__(self) -> None:
        """Wrap a cell of this library as a submodule with the name that ``nn.RNN`` uses."""
        if not isinstance(self.cell, LinenCell):
            check_cell(self.cell, type(self).__name__)
            object.__setattr__(self, "cell", LinenCell(self.cell, parent=None))
        super().__post_init__()
