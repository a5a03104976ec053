"""Flax linen: any cell inside ``nn.RNN``, ``unroll`` behind the call of ``nn.RNN``, and whole language models.

A module has one parameter, ``"weights"``, whose value is the tree that the pure functions take, tuples and all:

    variables["params"]["weights"] == cell.init(key, D)                 LinenCell
    variables["params"]["cell"]["weights"] == cell.init(key, D)         nn.RNN(LinenCell(cell)), LinenRNN(cell)
    variables["params"]["weights"] == model.init(key)                   LinenLanguageModel

``to_linen`` and ``from_linen`` write and read that path, and copy nothing. Nested dictionaries with the same names, as
``flax.serialization.msgpack_restore`` gives them, may stand in place of the tuples.

>>> import flax.linen as nn, jax, jax.numpy as jnp
>>> from rnnlm_jax import cells
>>> xs = jnp.ones((20, 35, 300))                                        # [B, T, D]
>>> variables = nn.RNN(LinenCell(cells.gru(64))).init(jax.random.key(0), xs)
>>> LinenRNN(cells.gru(64)).apply(variables, xs).shape                  # the same weights, a faster loop
(20, 35, 64)
"""

from typing import Any

import flax.linen as nn

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.linen_model import LinenLanguageModel
from rnnlm_jax.interop.linen_weights import from_linen, module_weights, to_linen
from rnnlm_jax.interop.rnn_call import check_cell, rnn_call, steps, vectors
from rnnlm_jax.unroll.unroll import check_state

__all__ = ["LinenCell", "LinenLanguageModel", "LinenRNN", "from_linen", "to_linen"]


class LinenCell(nn.RNNCellBase):
    """A cell as ``flax.linen.RNN`` takes it: ``(carry, x_t) -> (carry, h_t)``, one step of the cell.

        s_t = step(s_{t-1}, input_projection(x_t)),    h_t = readout(s_t)

    The carry is the cell's own state, a NamedTuple, not linen's ``(c, h)``. ``init`` draws the weights from the
    key that linen derives from its own for this module, so they are not those of ``cell.init`` with the same key.

    Raises:
        UserError: when called, for inputs, weights or a carry that do not fit the cell, or a bidirectional cell, which
            cannot be stepped: ``LinenRNN`` runs it.
    """

    cell: Cell

    def __post_init__(self) -> None:
        """Check the cell."""
        check_cell(self.cell, type(self).__name__)
        super().__post_init__()

    @nn.compact
    def weights(self, input_size: int) -> Tree:
        """The cell's parameters, made for inputs ``[..., D]``."""
        owner = f"this {self.cell.spec.kind} cell over inputs of {input_size} features"
        return module_weights(self, owner, self.cell.init, input_size)

    def __call__(self, carry: Tree, inputs: Float[Array, "*B D"]) -> tuple[Tree, Float[Array, "*B H"]]:
        """One step of time."""
        if not steps(self.cell):
            raise UserError(
                "a bidirectional cell reads the whole sequence, so nn.RNN cannot step it: use LinenRNN in its place"
            )
        inputs = vectors(inputs)
        params = self.weights(inputs.shape[-1])
        check_state(self.cell, carry, inputs.shape[:-1])
        carry = self.cell.step(params, carry, self.cell.input_projection(params, inputs))
        return carry, self.cell.readout(params, carry)

    @nn.nowrap
    def initialize_carry(self, rng: Key, input_shape: tuple[int, ...]) -> Tree:
        """The state before the first step, ``cell.initial_state(*B)``, for inputs ``[*B, D]``; draws nothing."""
        del rng
        return self.cell.initial_state(tuple(input_shape[:-1]))

    @property
    def num_feature_axes(self) -> int:
        """One: an input is a vector."""
        return 1


class LinenRNN(nn.Module):
    """``unroll`` behind the call of ``flax.linen.RNN``, with its variables: fast executors, masks, resets.

    Takes every cell, stacks and bidirectional ones included, as a ``LinenCell`` or as itself. It differs from
    ``nn.RNN`` where a sequence has ended: outputs beyond ``seq_lengths`` are zeros (linen goes on stepping and
    leaves what comes out), and a sequence of length zero returns its initial carry (linen returns the state after
    the padding).

    Attributes:
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
        UserError: when called, for shapes or weights that do not fit each other; see ``unroll``.
    """

    cell: LinenCell | Cell
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False
    unroll: int = 1
    remat_chunk: int | str | None = None
    executor: str | None = None

    def __post_init__(self) -> None:
        """Let a cell of the library be a submodule, by the name that ``nn.RNN`` gives it."""
        if not isinstance(self.cell, LinenCell):
            check_cell(self.cell, type(self).__name__)
            object.__setattr__(self, "cell", LinenCell(self.cell, parent=None))
        super().__post_init__()

    def __call__(
        self,
        inputs: Float[Array, "*B T D"],
        *,
        initial_carry: Tree | None = None,
        init_key: Key | None = None,
        seq_lengths: Int[Array, "*B"] | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
    ) -> Any:
        """Outputs ``[*B, T, H]``, or ``(carry, outputs)``; what is None is as the attribute says.

        Args:
            inputs: ``[*B, T, D]``, or with ``time_major`` ``[T, *B, D]``; masks and resets likewise.
            initial_carry: the state before the first step; the cell's initial state unless given.
            init_key: unused, since no initial state is drawn; ``nn.RNN`` and ``nn.Bidirectional`` have it.
            seq_lengths: how many leading steps of each sequence count, zero included.
            return_carry: see the attribute, as for the next three.
            time_major: as above.
            reverse: as above.
            keep_order: as above.
            mask: which steps count; a step that does not keeps the state and outputs zeros.
            resets: before which steps, in the order they are run, the state starts anew.
        """
        del init_key
        assert isinstance(self.cell, LinenCell)
        inputs = vectors(inputs, ("time", "features"))
        carry, outputs = rnn_call(
            self.cell.cell,
            self.cell.weights(inputs.shape[-1]),
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
