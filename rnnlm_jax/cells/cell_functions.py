"""The functions that a cell consists of: arguments, results and shapes.

``Params`` and ``State`` are the cell's own NamedTuples of arrays. Every function is pure and takes any number of
leading batch axes ``*B``.
"""

from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from rnnlm_jax.array_types import Array, Key

Params = TypeVar("Params")
State = TypeVar("State")
_Params = TypeVar("_Params", contravariant=True)
_State = TypeVar("_State", contravariant=True)
_Result = TypeVar("_Result", covariant=True)


@runtime_checkable
class InitFn(Protocol[_Result]):
    """Draw initial parameters."""

    def __call__(self, key: Key, input_size: int) -> _Result:
        """Return the parameters, in ``param_dtype``.

        Args:
            key: random key.
            input_size: D, the number of input features.
        """
        ...


@runtime_checkable
class StateFn(Protocol[_Result]):
    """Make the state before the first step."""

    def __call__(self, batch_shape: tuple[int, ...]) -> _Result:
        """Return the state, in ``param_dtype``.

        Args:
            batch_shape: ``*B``; ``()`` for one sequence.
        """
        ...


@runtime_checkable
class InputProjectionFn(Protocol[_Params]):
    """Project inputs; affine in the input and independent of the state, so that all steps are projected at once."""

    def __call__(self, params: _Params, x: Array, /) -> Array:
        """Return the projected inputs z ``[*B, G*H]``.

        Args:
            params: the parameters.
            x: inputs ``[*B, D]``.
        """
        ...


@runtime_checkable
class RecurrentProjectionFn(Protocol[_Params, _State]):
    """Project the state; linear in it, and the only function in which units meet."""

    def __call__(self, params: _Params, state: _State, /) -> Array:
        """Return the projected state r ``[*B, G*H]``.

        Args:
            params: the parameters.
            state: the state before the step.
        """
        ...


@runtime_checkable
class UpdateFn(Protocol[_Params, State]):
    """Update the state elementwise: unit i of the result depends on unit i of the arguments only."""

    def __call__(self, params: _Params, state: State, z: Array, r: Array, /) -> State:
        """Return the state after the step.

        Args:
            params: the parameters.
            state: the state before the step.
            z: projected input ``[*B, G*H]``.
            r: projected state ``[*B, G*H]``.
        """
        ...


@runtime_checkable
class StepFn(Protocol[_Params, State]):
    """Do one step of a cell that does not split into a recurrent projection and an update."""

    def __call__(self, params: _Params, state: State, z: Array, /) -> State:
        """Return the state after the step.

        Args:
            params: the parameters.
            state: the state before the step.
            z: projected input ``[*B, G*H]``.
        """
        ...


@runtime_checkable
class ReadoutFn(Protocol[_Params, _State]):
    """Read the output off a state."""

    def __call__(self, params: _Params, state: _State, /) -> Array:
        """Return the output h ``[*B, output_size]``.

        Args:
            params: the parameters.
            state: the state after the step.
        """
        ...


@runtime_checkable
class GatedReadoutFn(Protocol[_Params, _State]):
    """Read the output off a state and the projected input of the same step."""

    def __call__(self, params: _Params, state: _State, z: Array, /) -> Array:
        """Return the output h ``[*B, output_size]``.

        Args:
            params: the parameters.
            state: the state after the step.
            z: projected input ``[*B, G*H]``.
        """
        ...


@runtime_checkable
class PrepareFn(Protocol):
    """Compute once what all steps need of the parameters; prepared parameters are returned as they are."""

    def __call__(self, params: Any, /) -> Any:
        """Return parameters that the cell's functions take in place of ``params``.

        Args:
            params: the parameters, or prepared ones.
        """
        ...


@runtime_checkable
class KernelFn(Protocol[_Params, State]):
    """Run a cell over time in a native kernel."""

    def __call__(
        self, params: _Params, state: State, xs: Array, step_mask: Array, keep_state: Array, /, *, reverse: bool
    ) -> tuple[State, State]:
        """Return the state after the last step, and the states ``[T, B, ·]`` as far as ``readout`` reads them.

        Args:
            params: the parameters.
            state: the state before the first step, ``[B, ·]``.
            xs: inputs ``[T, B, D]``, T and B at least 1.
            step_mask: ``[T, B]``, 0 where a step keeps the state and 1 elsewhere; ``[0, 0]``: every step counts.
            keep_state: ``[T, B]``, 0 where the state is reset before a step and 1 elsewhere; ``[0, 0]``: no resets.
            reverse: run from the last step to the first.
        """
        ...


@runtime_checkable
class MaskedKernelFn(Protocol[_Params, State]):
    """A ``KernelFn`` whose recurrent product reads a masked state."""

    def __call__(
        self,
        params: _Params,
        state: State,
        xs: Array,
        step_mask: Array,
        keep_state: Array,
        state_masks: State,
        /,
        *,
        reverse: bool,
    ) -> tuple[State, State]:
        """Return what a ``KernelFn`` returns.

        Args:
            params: the parameters.
            state: the state before the first step, ``[B, ·]``.
            xs: see ``KernelFn``.
            step_mask: see ``KernelFn``.
            keep_state: see ``KernelFn``.
            state_masks: the factors of the state in the recurrent product, ``[B, ·]``; they have no derivative.
            reverse: run from the last step to the first.
        """
        ...


@runtime_checkable
class LogSlopesFn(Protocol[_Params, _State]):
    """Logarithms of a unit's part in the determinant of the step Jacobian."""

    def __call__(self, params: _Params, before: _State, after: _State, z: Array, r: Array, /) -> Array:
        """Return one number a unit, ``[*B, H]``, in nats; their sum is what counts.

        Args:
            params: the parameters.
            before: the state before the step.
            after: the state after the step.
            z: projected input ``[*B, G*H]``.
            r: projected state ``[*B, G*H]``; zeros for a cell that does not split.
        """
        ...


@runtime_checkable
class Initializer(Protocol):
    """Draw a matrix, as the functions of ``jax.nn.initializers`` do."""

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: np.dtype | Any, /) -> Array:
        """Return an array of that shape and dtype.

        Args:
            key: random key.
            shape: shape of the array.
            dtype: its dtype, in any form that NumPy takes.
        """
        ...
