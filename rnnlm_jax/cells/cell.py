"""The contract of a recurrent cell: a handful of pure functions in one object.

Almost every cell is two linear maps and an elementwise update,

    z_t = input_projection(params, x_t)            affine in the input, independent of the state
    r_t = recurrent_projection(params, s_{t-1})    linear in the state, the only place where units meet
    s_t = update(params, s_{t-1}, z_t, r_t)        elementwise over units: gates and nonlinearity
    h_t = readout(params, s_t)

A cell whose output also reads the input (an output gate, a skip connection) has ``gated_readout(params, s_t, z_t)`` in
place of ``readout``. A cell that does not split (layer normalisation across units, a reset gate before the product)
has ``whole_step`` in place of ``recurrent_projection`` and ``update``. Everything that runs, differentiates or adapts
cells takes this object.
"""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar

import jax
import numpy as np
from jax.export import is_symbolic_dim

from rnnlm_jax.array_types import Array
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.cells.cell_facts import CellFacts, Recurrence
from rnnlm_jax.cells.cell_functions import (
    GatedReadoutFn,
    InitFn,
    InputProjectionFn,
    Params,
    PrepareFn,
    ReadoutFn,
    RecurrentProjectionFn,
    State,
    StateFn,
    StepFn,
    UpdateFn,
)
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import FactoryMade, cached_factory, copy_without_factory

Arguments = ParamSpec("Arguments")
CellType = TypeVar("CellType", bound="Cell")


@dataclass(frozen=True)
class CellSpec:
    """A cell's kind, sizes, precisions, and the options that it was made with."""

    kind: str
    hidden_size: int
    output_size: int
    dtype: np.dtype
    """Dtype of the matrix products."""
    param_dtype: np.dtype
    """Dtype of the parameters and of the recurrent state."""
    variant: tuple[tuple[str, Any], ...] = ()
    """Options by name."""


@dataclass(frozen=True)
class Cell(FactoryMade, Generic[Params, State]):
    """A recurrent cell as pure functions; ``cells.lstm(650)`` is a ``Cell[LSTMParams, LSTMState]``.

    It is static and hashable. Factories are cached, so that equal arguments give the same object and ``jit`` does not
    retrace. All arrays are in ``params`` and ``state``, which are NamedTuples.
    """

    spec: CellSpec
    init: InitFn[Params]
    initial_state: StateFn[State]
    input_projection: InputProjectionFn[Params]
    readout: ReadoutFn[Params, State] | None = None
    recurrent_projection: RecurrentProjectionFn[Params, State] | None = None
    update: UpdateFn[Params, State] | None = None
    whole_step: StepFn[Params, State] | None = None
    additive: bool = False
    """Whether ``update`` reads ``z`` and ``r`` only as their sum ``z + r``."""
    gated_readout: GatedReadoutFn[Params, State] | None = None
    """The output of a cell that reads it off the state and the projected input; in place of ``readout``."""
    prepare_params: PrepareFn | None = None
    """What of the parameters is computed once for all steps, see ``prepare``."""
    facts: CellFacts = field(default=CellFacts(), init=False)
    """Facts declared by ``with_facts``. ``dataclasses.replace`` drops them, since they may not hold of the new cell."""

    def with_facts(self: CellType, facts: CellFacts) -> CellType:
        """Return the cell with facts declared about it."""
        cell = copy_without_factory(self)
        object.__setattr__(cell, "facts", facts)  # cells are frozen
        return cell

    @property
    def splits(self) -> bool:
        """Whether the cell is two linear maps and an elementwise update."""
        return self.recurrent_projection is not None and self.update is not None

    @property
    def recurrence(self) -> Recurrence:
        """The kind of recurrence."""
        if self.facts.is_linear:
            return Recurrence.LINEAR
        return Recurrence.SEPARABLE if self.splits else Recurrence.WHOLE_STEP

    def step(self, params: Params, state: State, z: Array) -> State:
        """Return the state after one step of time.

        Args:
            params: the parameters.
            state: the state before the step, ``[*B, ·]``.
            z: ``input_projection(params, x)``, ``[*B, G*H]``.

        Raises:
            ArgumentError: if the cell can only be unrolled.
        """
        if self.recurrent_projection is not None and self.update is not None:
            return self.update(params, state, z, self.recurrent_projection(params, state))
        if self.whole_step is None:
            raise ArgumentError(f"a {self.spec.kind} cell cannot be stepped: it reads the whole sequence, use unroll")
        return self.whole_step(params, state, z)

    def output(self, params: Params, state: State, z: Array) -> Array:
        """Return the output h ``[*B, output_size]`` of a step.

        Args:
            params: the parameters.
            state: the state after the step.
            z: the projected input of the step; only a ``gated_readout`` reads it.

        Raises:
            ArgumentError: if the cell can only be unrolled.
        """
        if self.gated_readout is not None:
            return self.gated_readout(params, state, z)
        if self.readout is None:
            raise ArgumentError(f"a {self.spec.kind} cell has no output at one step: use unroll")
        return self.readout(params, state)

    def prepare(self, params: Params) -> Any:
        """Return the parameters with what all steps share computed, such as the exponential of a matrix.

        Every function of the cell takes prepared parameters in place of the parameters, and computes the same faster.
        They are not parameters of their own: gradients and checkpoints are of ``params``.
        """
        return params if self.prepare_params is None else self.prepare_params(params)

    def token_flops(self, params: Params) -> float:
        """Return the floating-point operations of one step forward: those of matrix products.

        Args:
            params: the parameters, or anything with their shapes.
        """
        if self.facts.token_flops is not None:
            return float(self.facts.token_flops(params))
        return float(matrix_flops(params))


def state_size(cell: Cell) -> int:
    """Return n: H for an Elman cell or GRU, 2H for an LSTM (hidden, then cell), the sum over layers for a stack."""
    leaves = jax.tree.leaves(jax.eval_shape(lambda: cell.initial_state(())))
    return sum(math.prod(leaf.shape) for leaf in leaves)


def cell_factory(build: Callable[Arguments, CellType]) -> Callable[Arguments, CellType]:
    """Make a factory return the same ``Cell`` for the same arguments, however they are spelt.

    ``lstm(5)``, ``lstm(hidden_size=5)`` and ``lstm(5, param_dtype="float32")`` are one object, so that a jitted
    function with the cell as a static argument is traced once. A ``dtype`` of None becomes ``param_dtype`` here.
    """
    annotations = {name: parameter.annotation for name, parameter in inspect.signature(build).parameters.items()}
    checks = {bool: check_flag, float: check_number, Cell: check_cell}

    def check(bound: inspect.BoundArguments) -> None:  # before the cache, for which 5.0 == 5 and True == 1
        for name, value in bound.arguments.items():
            if name.endswith("_size") and value is not None:
                bound.arguments[name] = check_size(name, value)
            elif name == "recurrent_init" and not isinstance(value, str) and not callable(value):
                raise ArgumentError(
                    f"`recurrent_init` must be a name or a function (key, shape, dtype), not {value!r:.60}"
                )
            elif annotations.get(name) in checks:
                for each in value if isinstance(value, tuple) else (value,):  # a tuple: the layers of a stack
                    checks[annotations[name]](name, each)

    return cached_factory(build, check)


def check_size(name: str, size: int) -> int:
    """Return ``size`` as an int.

    Raises:
        ArgumentError: if it is not a positive whole number.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ArgumentError(f"`{name}` must be a positive whole number, not {size!r}")
    return int(size)


def check_batch_shape(batch_shape: Any) -> tuple[int, ...]:
    """Return a batch shape as a tuple of sizes; sizes may be zero, or symbols of ``jax.export``.

    Raises:
        ArgumentError: if it is not a tuple or list of sizes.
    """

    def is_size(size: Any) -> bool:
        if isinstance(size, int | np.integer):
            return not isinstance(size, bool) and bool(size >= 0)
        return bool(is_symbolic_dim(size))

    if not isinstance(batch_shape, tuple | list) or not all(map(is_size, batch_shape)):
        raise ArgumentError(f"`batch_shape` must be a tuple of sizes, such as (20,) or (), not {batch_shape!r:.60}")
    return tuple(batch_shape)


def check_flag(name: str, value: Any) -> None:
    """Check that ``value`` is True or False.

    Raises:
        ArgumentError: if it is not.
    """
    if not isinstance(value, bool):
        raise ArgumentError(f"`{name}` must be true or false, not {value!r:.60}")


def check_number(name: str, value: Any) -> None:
    """Check that ``value`` is a finite number.

    Raises:
        ArgumentError: if it is not.
    """
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ArgumentError(f"`{name}` must be a finite number, not {value!r:.60}")


def check_positive(name: str, value: Any, *, or_zero: bool = False) -> None:
    """Check that ``value`` is a finite number above zero, or zero with ``or_zero``.

    Raises:
        ArgumentError: if it is not.
    """
    check_number(name, value)
    if value < 0 or (value == 0 and not or_zero):
        raise ArgumentError(f"`{name}` must be {'at least' if or_zero else 'above'} 0, not {value}")


def check_rate(name: str, value: Any) -> float:
    """Return ``value``, a probability of dropping something.

    Raises:
        ArgumentError: if it is not a number of at least 0 and below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        raise ArgumentError(f"`{name}` must be at least 0 and below 1, not {value!r:.60}")
    return value


def check_cell(name: str, value: Any) -> None:
    """Check that ``value`` is a cell.

    Raises:
        ArgumentError: if it is not.
    """
    if not isinstance(value, Cell):
        hint = ": give them one by one, stack(*layers)" if isinstance(value, tuple | list) else ""
        raise ArgumentError(f"`{name}` must be a cell, such as cells.lstm(650), not a {type(value).__name__}{hint}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return ``value``.

    Raises:
        ArgumentError: if it is not among ``choices``.
    """
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(f"`{name}` must be one of {', '.join(choices)}, not {value!r}")
    return value
