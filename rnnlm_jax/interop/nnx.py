"""Flax nnx: any cell inside ``nnx.RNN``, ``unroll`` behind the call of ``nnx.RNN``, and whole language models.

A module holds the tree that the pure functions take in ``module.weights``, tuples and all, each array of it in an
``nnx.Param`` of its own: ``module.weights.w_h[...]``. ``to_params`` reads the tree, ``set_params`` writes it, and
``from_params`` makes a module of it.

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

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell, check_size
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.fitting import input_size_of
from rnnlm_jax.interop.nnx_model import NnxLanguageModel
from rnnlm_jax.interop.nnx_weights import Holder, set_params, to_params
from rnnlm_jax.interop.rnn_call import check_cell, rnn_call, steps, vectors
from rnnlm_jax.unroll.unroll import check_state

__all__ = ["NnxCell", "NnxLanguageModel", "NnxRNN", "set_params", "to_params"]


class NnxCell(nnx.RNNCellBase, Holder):
    """A cell as ``flax.nnx.RNN`` takes it: ``(carry, x_t) -> (carry, h_t)``, one step of the cell.

        s_t = step(s_{t-1}, input_projection(x_t)),    h_t = readout(s_t)

    The carry is the cell's own state, a NamedTuple, not nnx's ``(c, h)``. The weights are those of
    ``cell.init(rngs.params(), in_features)``.

    Args:
        cell: the cell.
        in_features: D.
        rngs: its stream "params" is drawn from.

    Raises:
        UserError: for no cell, no size or no ``Rngs``; when called, for inputs or a carry that do not fit the cell, or
            a bidirectional cell, which cannot be stepped: ``NnxRNN`` runs it.
    """

    def __init__(self, cell: Cell, in_features: int, *, rngs: nnx.Rngs):
        """Draw the weights."""
        check_cell(cell, type(self).__name__)
        self.cell = cell
        self.in_features = check_size("in_features", in_features)
        self.draw(cell.init, rngs, self.in_features)

    @classmethod
    def from_params(cls, cell: Cell, params: Tree) -> Self:
        """A module with the parameters that it is given.

        Raises:
            UserError: if they are no parameters of the cell.
        """
        check_cell(cell, cls.__name__)
        in_features = input_size_of(cell, params)
        module = nnx.eval_shape(lambda: cls(cell, in_features, rngs=nnx.Rngs(0)))
        set_params(module, params)
        return module

    def __call__(self, carry: Tree, inputs: Float[Array, "*B D"]) -> tuple[Tree, Float[Array, "*B H"]]:
        """One step of time."""
        if not steps(self.cell):
            raise UserError(
                "a bidirectional cell reads the whole sequence, so nnx.RNN cannot step it: use NnxRNN in its place"
            )
        inputs = vectors(inputs)
        check_state(self.cell, carry, inputs.shape[:-1])
        params = to_params(self)
        carry = self.cell.step(params, carry, self.cell.input_projection(params, inputs))
        return carry, self.cell.readout(params, carry)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Tree:
        """The state before the first step, ``cell.initial_state(*B)``, for inputs ``[*B, D]``; draws nothing.

        Raises:
            UserError: for a ``carry_init``: a state of one's own goes to the call, as ``initial_carry``.
        """
        del rngs
        if carry_init is not None:
            raise UserError("a cell starts from its initial state, not from carry_init: give the call an initial_carry")
        return self.cell.initial_state(tuple(input_shape[:-1]))

    @property
    def num_feature_axes(self) -> int:
        """One: an input is a vector."""
        return 1


class NnxRNN(nnx.Module):
    """``unroll`` behind the call of ``flax.nnx.RNN``: the fast executors, masks and resets.

    Takes every cell, stacks and bidirectional ones included. It differs from ``nnx.RNN`` where a sequence has
    ended: outputs beyond ``seq_lengths`` are zeros (nnx goes on stepping and leaves what comes out), and a sequence
    of length zero returns its initial carry (nnx returns the state after the padding).

    Args:
        cell: what is run.
        time_major: whether inputs are ``[T, *B, D]``; if not, ``[*B, T, D]``.
        return_carry: whether the last state of each sequence is returned too, as ``(carry, outputs)``.
        reverse: run from the last step to the first.
        keep_order: whether the outputs of a reversed run stay in the order of the inputs; if not, they are in the
            order in which they came about, padding at the end.
        unroll: loop iterations compiled as one.
        remat_chunk: steps in a chunk that is computed again in the backward pass, or "sqrt"; see ``unroll``.
        executor: one of ``EXECUTORS``; the fastest for the cell and the device unless given.

    Raises:
        UserError: for a cell without weights; when called, for shapes that do not fit each other; see ``unroll``.
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
        """Keep the cell and how to call it."""
        if not isinstance(cell, NnxCell):
            raise UserError(f"NnxRNN takes an NnxCell(cell, in_features, rngs=rngs), not {type(cell).__name__}")
        self.cell = cell
        self.time_major = time_major
        self.return_carry = return_carry
        self.reverse = reverse
        self.keep_order = keep_order
        self.unroll = unroll
        self.remat_chunk = remat_chunk
        self.executor = executor

    def __call__(
        self,
        inputs: Float[Array, "*B T D"],
        *,
        initial_carry: Tree | None = None,
        seq_lengths: Int[Array, "*B"] | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: Any = None,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
    ) -> Any:
        """Outputs ``[*B, T, H]``, or ``(carry, outputs)``; what is None is as the constructor was told.

        Args:
            inputs: ``[*B, T, D]``, or with ``time_major`` ``[T, *B, D]``; masks and resets likewise.
            initial_carry: the state before the first step; the cell's initial state unless given.
            seq_lengths: how many leading steps of each sequence count, zero included.
            return_carry: see the class, as for the next three.
            time_major: as above.
            reverse: as above.
            keep_order: as above.
            rngs: unused, since no initial state is drawn; ``nnx.RNN`` and ``nnx.Bidirectional`` have it.
            mask: which steps count; a step that does not keeps the state and outputs zeros.
            resets: before which steps, in the order they are run, the state starts anew.
        """
        del rngs
        inputs = vectors(inputs, ("time", "features"))
        carry, outputs = rnn_call(
            self.cell.cell,
            to_params(self.cell),
            inputs,
            initial_carry,
            seq_lengths=seq_lengths,
            mask=mask,
            resets=resets,
            time_major=self.time_major if time_major is None else time_major,
            reverse=self.reverse if reverse is None else reverse,
            keep_order=self.keep_order if keep_order is None else keep_order,
            unroll_factor=self.unroll,
            remat_chunk=self.remat_chunk,
            executor=self.executor,
        )
        return (carry, outputs) if (self.return_carry if return_carry is None else return_carry) else outputs
