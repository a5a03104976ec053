"""The parts that linen's and nnx's cells and layers share: one step, and the call of Flax's ``RNN`` by ``unroll``.

The axes of a sequence are Flax's: batch first, ``[*B, T, D]``, unless ``time_major``.
"""

from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_array
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Bidirectional, Stack
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.unroll import unroll
from rnnlm_jax.unroll.unroll import check_state


def check_cell(cell: Any, user: str) -> None:
    """Check that a module can run a cell.

    Raises:
        ArgumentError: naming ``user``, the module's class, if it is not a cell or has no units.
    """
    if not isinstance(cell, Cell):
        raise ArgumentError(f"{user} takes a cell of this library, such as cells.lstm(64), not {type(cell).__name__}")
    if not cell.spec.output_size:
        raise ArgumentError(f"{user} takes a cell with units: a cell of kind {cell.spec.kind!r} has nothing to run")


def can_step(cell: Cell) -> bool:
    """Return whether a cell can be stepped; a bidirectional one cannot, nor a stack with one in it."""
    if isinstance(cell, Stack):
        return all(map(can_step, cell.layers))
    return not isinstance(cell, Bidirectional)


def feature_inputs(inputs: Any, axes: tuple[str, ...] = ("features",)) -> Array:
    """Return inputs as an array that has at least the named axes.

    Raises:
        ArgumentError: for fewer axes, or a dtype that is not floating-point, such as that of tokens.
    """
    inputs = as_array("inputs", inputs)
    if inputs.ndim < len(axes):
        raise ArgumentError(f"`inputs` are (*batch, {', '.join(axes)}) or time first, not of shape {inputs.shape}")
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ArgumentError(f"`inputs` are floating-point vectors, not of {inputs.dtype}: embed tokens first")
    return inputs


class SteppedCell:
    """One step of a cell with Flax's signature ``(carry, x_t) -> (carry, h_t)``; base of ``LinenCell`` and ``NnxCell``.

        s_t = step(s_{t-1}, input_projection(x_t)),    h_t = output(s_t)

    The carry is the cell's own state, a NamedTuple, not Flax's ``(c, h)``.
    """

    cell: Cell

    def cell_params(self, input_size: int) -> Tree:
        """Return the parameters of the cell for inputs ``[..., D]``."""
        raise NotImplementedError

    def __call__(self, carry: Tree, inputs: Float[Array, "*B D"]) -> tuple[Tree, Float[Array, "*B H"]]:
        """Run one step of time.

        Raises:
            ArgumentError: if the inputs or the carry do not fit the cell, or it is bidirectional: the class ``…RNN``
                runs it.
        """
        if not can_step(self.cell):
            rnn = type(self).__name__.replace("Cell", "RNN")
            raise ArgumentError(
                f"a bidirectional cell reads the whole sequence, so Flax's RNN cannot step it: use {rnn} in its place"
            )
        inputs = feature_inputs(inputs)
        params = self.cell_params(inputs.shape[-1])
        check_state(self.cell, carry, inputs.shape[:-1])
        z = self.cell.input_projection(params, inputs)
        carry = self.cell.step(params, carry, z)
        return carry, self.cell.output(params, carry, z)

    @property
    def num_feature_axes(self) -> int:
        """Return 1: an input is a vector."""
        return 1


class _RunnableCell(Protocol):
    """The cell module that an ``UnrolledRNN`` holds."""

    cell: Any

    def cell_params(self, input_size: int) -> Tree: ...


class UnrolledRNN:
    """``unroll`` with the call of Flax's ``RNN``: fast executors, masks, resets; base of ``LinenRNN`` and ``NnxRNN``.

    It runs every cell, stacks and bidirectional ones included. It differs from Flax's ``RNN`` where a sequence has
    ended: outputs beyond ``seq_lengths`` are zeros (Flax goes on stepping), and a sequence of length zero returns its
    initial carry (Flax returns the state after the padding).

    Attributes:
        cell: the module of the cell.
        time_major: whether inputs are ``[T, *B, D]``; if not, ``[*B, T, D]``.
        return_carry: whether the last state of each sequence is returned too, as ``(carry, outputs)``.
        reverse: run from the last step to the first.
        keep_order: whether the outputs of a reversed run stay in the order of the inputs; if not, they are in the
            order in which they were computed, padding at the end.
        unroll: loop iterations compiled as one.
        remat_chunk: steps in a chunk that is recomputed in the backward pass, or "sqrt"; see ``unroll``.
        executor: one of ``EXECUTORS``; by default the fastest for the cell and the device.
    """

    cell: Any
    time_major: bool
    return_carry: bool
    reverse: bool
    keep_order: bool
    unroll: int
    remat_chunk: int | str | None
    executor: str | None

    def __call__(
        self,
        inputs: Float[Array, "*_ D"],
        *,
        initial_carry: Tree | None = None,
        init_key: Key | None = None,
        rngs: Any = None,
        seq_lengths: Int[Array, "..."] | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        mask: Bool[Array, "..."] | None = None,
        resets: Bool[Array, "..."] | None = None,
    ) -> Any:
        """Return the outputs ``[*B, T, H]``, or with ``return_carry`` ``(carry, outputs)``.

        Args:
            inputs: ``[*B, T, D]``, or with ``time_major`` ``[T, *B, D]``; masks and resets likewise.
            initial_carry: the state before the first step; the cell's initial state by default.
            init_key: unused, because no initial state is drawn; ``linen.Bidirectional`` passes it.
            rngs: unused likewise; ``nnx.Bidirectional`` passes it.
            seq_lengths: the number of leading steps of each sequence that count, zero included.
            return_carry: in place of the attribute, as are the next three.
            time_major: see the attribute.
            reverse: see the attribute.
            keep_order: see the attribute.
            mask: which steps count; one that does not keeps the state and outputs zeros.
            resets: before which steps, in the order they are run, the state is reset.

        Raises:
            ArgumentError, WeightsError: for shapes or weights that do not fit each other; see ``unroll``.
        """
        del init_key, rngs
        inputs = feature_inputs(inputs, ("time", "features"))
        module: _RunnableCell = self.cell
        axes = _TimeAxes(inputs.shape[:-1], 0 if _given(time_major, self.time_major) else inputs.ndim - 2)
        lengths = axes.lengths(seq_lengths)
        reverse = _given(reverse, self.reverse)
        carry, hs = unroll(
            module.cell,
            module.cell_params(inputs.shape[-1]),
            module.cell.initial_state(axes.batch) if initial_carry is None else initial_carry,
            jnp.moveaxis(inputs, axes.time, 0),
            mask=axes.flags("mask", mask),
            lengths=lengths,
            resets=axes.flags("resets", resets),
            reverse=reverse,
            scan_unroll=self.unroll,
            remat_chunk=self.remat_chunk,
            executor=self.executor,
        )
        if reverse and not _given(keep_order, self.keep_order):
            hs = flip_sequences(hs, lengths)
        outputs = jnp.moveaxis(hs, 0, axes.time)
        return (carry, outputs) if _given(return_carry, self.return_carry) else outputs


def _given(value: bool | None, default: bool) -> bool:
    return default if value is None else value


def flip_sequences(hs: Float[Array, "T *B H"], lengths: Int[Array, "*B"] | None) -> Float[Array, "T *B H"]:
    """Return each sequence from its last step to its first; steps beyond its length stay at the end."""
    if lengths is None:
        return hs[::-1]
    steps = hs.shape[0]
    backwards = jnp.arange(steps - 1, -1, -1, dtype=lengths.dtype).reshape(steps, *(1 for _ in lengths.shape))
    return jnp.take_along_axis(hs, ((backwards + lengths[None]) % steps)[..., None], axis=0)


class _TimeAxes(NamedTuple):
    """The axes of inputs but for the features, and which of them is time."""

    shape: tuple[int, ...]
    time: int

    @property
    def batch(self) -> tuple[int, ...]:
        """Return the batch axes."""
        return (*self.shape[: self.time], *self.shape[self.time + 1 :])

    def lengths(self, lengths: Any) -> Array | None:
        """Return lengths as int32 ``[*B]``, clipped to 0 to T."""
        if lengths is None:
            return None
        lengths = as_array("seq_lengths", lengths)
        if not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise ArgumentError(f"`seq_lengths` are integers, one per sequence, not of {lengths.dtype}")
        if lengths.shape != self.batch:
            raise ArgumentError(
                f"`seq_lengths` has shape {lengths.shape}, but the inputs need {self.batch}, one per sequence"
            )
        return jnp.clip(lengths.astype(jnp.int32), 0, self.shape[self.time])

    def flags(self, name: str, flags: Any) -> Array | None:
        """Return a flag of each step, time first, ``[T, *B]``."""
        if flags is None:
            return None
        flags = as_array(name, flags)
        if flags.shape != self.shape:
            raise ArgumentError(f"`{name}` has shape {flags.shape}, but the inputs need {self.shape}, one per step")
        return jnp.moveaxis(flags, self.time, 0)
