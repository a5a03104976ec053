"""Flax nnx: cells inside ``nnx.RNN``, ``unroll`` with the call of ``nnx.RNN``, and language models as modules.

A module holds the tree that the pure functions take in ``module.weights``, tuples included, each array of it in an
``nnx.Param``: ``module.weights.w_h[...]``. ``to_params`` reads the tree, ``set_params`` writes it, and ``from_params``
makes a module of it.

>>> import jax.numpy as jnp
>>> from flax import nnx
>>> from rnnlm_jax import cells
>>> cell = NnxCell(cells.gru(64), 300, rngs=nnx.Rngs(0))
>>> xs = jnp.ones((20, 35, 300))                                        # [B, T, D]
>>> nnx.RNN(cell)(xs).shape, NnxRNN(cell)(xs).shape                     # the same numbers, a faster loop
((20, 35, 64), (20, 35, 64))
>>> to_params(cell).w_h.shape
(64, 192)
"""

from typing import Any, Self

from flax import nnx

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells.cell import Cell, check_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.interop.flax_rnn import SteppedCell, UnrolledRNN, check_cell
from rnnlm_jax.interop.nnx_model import NnxLanguageModel
from rnnlm_jax.interop.nnx_weights import WeightsModule, set_params, to_params
from rnnlm_jax.interop.parameter_trees import input_size_of

__all__ = ["NnxCell", "NnxLanguageModel", "NnxRNN", "set_params", "to_params"]


class NnxCell(SteppedCell, nnx.RNNCellBase, WeightsModule):
    """A cell for ``flax.nnx.RNN``: see ``SteppedCell`` for its call.

    The weights are those of ``cell.init(rngs.params(), in_features)``.

    Args:
        cell: the cell.
        in_features: D.
        rngs: its stream "params" is drawn from.

    Raises:
        ArgumentError: for something that is not a cell, a size or an ``Rngs``; when called, for inputs or a carry that
            do not fit the cell.
    """

    def __init__(self, cell: Cell, in_features: int, *, rngs: nnx.Rngs):
        """Draw the weights."""
        check_cell(cell, type(self).__name__)
        self.cell = cell
        self.in_features = check_size("in_features", in_features)
        self.draw(cell.init, rngs, self.in_features)

    @classmethod
    def from_params(cls, cell: Cell, params: Tree) -> Self:
        """Return a module with the given parameters.

        Raises:
            WeightsError: if they are not parameters of the cell.
        """
        check_cell(cell, cls.__name__)
        in_features = input_size_of(cell, params)
        module = nnx.eval_shape(lambda: cls(cell, in_features, rngs=nnx.Rngs(0)))
        set_params(module, params)
        return module

    def cell_params(self, input_size: int) -> Tree:
        """Return the cell's parameters."""
        del input_size
        return to_params(self)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Tree:
        """Return ``cell.initial_state(*B)`` for inputs ``[*B, D]``; nothing is drawn.

        Raises:
            ArgumentError: for a ``carry_init``: give the call an ``initial_carry`` instead.
        """
        del rngs
        if carry_init is not None:
            raise ArgumentError(
                "a cell starts from its initial state, not from `carry_init`: give the call an `initial_carry`"
            )
        return self.cell.initial_state(tuple(input_shape[:-1]))


class NnxRNN(UnrolledRNN, nnx.Module):
    """``unroll`` with the call of ``flax.nnx.RNN``: see ``UnrolledRNN``.

    Args:
        cell: an ``NnxCell``.
        time_major, return_carry, reverse, keep_order, unroll, remat_chunk, executor: see ``UnrolledRNN``.

    Raises:
        ArgumentError: for a cell without weights.
    """

    def __init__(
        self,
        cell: NnxCell,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = False,
        unroll: int = 1,
        remat_chunk: int | str | None = None,
        executor: str | None = None,
    ):
        """Keep the cell and the options of the call."""
        if not isinstance(cell, NnxCell):
            raise ArgumentError(f"NnxRNN takes an NnxCell(cell, in_features, rngs=rngs), not {type(cell).__name__}")
        self.cell = cell
        self.time_major = time_major
        self.return_carry = return_carry
        self.reverse = reverse
        self.keep_order = keep_order
        self.unroll = unroll
        self.remat_chunk = remat_chunk
        self.executor = executor
