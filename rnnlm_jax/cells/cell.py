"""The contract of a recurrent cell: a handful of pure functions, gathered in one object.

Almost every cell is two linear maps and an elementwise update,

    z_t = input_projection(params, x_t)                  affine in the input, free of the recurrence
    r_t = recurrent_projection(params, s_{t-1})                  linear in the state, the only place where units meet
    s_t = update(params, s_{t-1}, z_t, r_t)     elementwise over units: gates and nonlinearity
    h_t = readout(params, s_t)

and ``step(params, state, z) = update(params, state, z, recurrent_projection(params, state))``. A cell that does not split so (layer
normalisation across units, a reset gate before the product) gives ``whole_step`` in place of ``recurrent_projection`` and ``update``.
Whatever runs, differentiates or adapts cells takes this object and nothing else.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, runtime_checkable

import numpy as np
from jax.export import is_symbolic_dim

from rnnlm_jax.array_types import Array, Key
from rnnlm_jax.errors import UserError
from rnnlm_jax.registry.cached_factory import FactoryMade, cached_factory, made_by

Params = TypeVar("Params")
State = TypeVar("State")
Made = TypeVar("Made", covariant=True)
InputProjectionFn = Callable[[Params, Array], Array]  # (params, x[..., D]) -> z[..., G*H]
RecurrentProjectionFn = Callable[[Params, State], Array]  # (params, state) -> r[..., G*H]
UpdateFn = Callable[[Params, State, Array, Array], State]  # (params, state, z, r) -> state
StepFn = Callable[[Params, State, Array], State]  # (params, state, z) -> state
ReadoutFn = Callable[[Params, State], Array]  # (params, state) -> h[..., output_size]


@runtime_checkable
class InitFn(Protocol[Made]):
    """Draws fresh parameters."""

    def __call__(self, key: Key, input_size: int) -> Made: ...


@runtime_checkable
class StateFn(Protocol[Made]):
    """Makes the state before the first step."""

    def __call__(self, batch_shape: tuple[int, ...]) -> Made: ...


Arguments = ParamSpec("Arguments")
CellType = TypeVar("CellType", bound="Cell")


@dataclass(frozen=True)
class CellSpec:
    """What a cell is, as data: its kind, its sizes and precisions, and the options it was made with."""

    kind: str
    hidden_size: int
    output_size: int
    dtype: np.dtype
    """Of the matrix products (compute)."""
    param_dtype: np.dtype
    """Of the parameters and of the recurrent state."""
    variant: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Cell(FactoryMade, Generic[Params, State]):
    """A recurrent cell as pure functions; see the module's docstring for their meaning.

    ``cells.lstm(650)`` is a ``Cell[LSTMParams, LSTMState]``.

    It is static and hashable: factories are cached, so equal arguments give the same object and ``jit`` does not
    retrace. All arrays live in ``params`` and ``state``, which are NamedTuples.
    """

    spec: CellSpec
    init: InitFn[Params]
    initial_state: StateFn[State]
    input_projection: InputProjectionFn[Params]
    readout: ReadoutFn[Params, State]
    recurrent_projection: RecurrentProjectionFn[Params, State] | None = None
    update: UpdateFn[Params, State] | None = None
    whole_step: StepFn[Params, State] | None = None
    additive: bool = False
    """Whether ``update`` reads ``z`` and ``r`` as their sum ``z + r`` only."""

    @property
    def is_of_the_library(self) -> bool:
        """Whether it is what a factory of this library returned, so that kernels and closed forms of its kind hold.

        A cell that ``dataclasses.replace`` has changed keeps its kind, and computes something else.
        """
        factory = made_by(self)
        return factory is not None and factory.__module__.startswith("rnnlm_jax.")

    @property
    def splits(self) -> bool:
        """Whether the cell is two linear maps and an elementwise update."""
        return self.recurrent_projection is not None and self.update is not None

    def step(self, params: Params, state: State, z: Array) -> State:
        """One step of time, ``update(params, state, z, recurrent_projection(params, state))``, where ``z`` is ``input_projection(params, x)``."""
        if self.recurrent_projection is not None and self.update is not None:
            return self.update(params, state, z, self.recurrent_projection(params, state))
        if self.whole_step is None:
            raise UserError(f"a {self.spec.kind} cell cannot be stepped: it reads the whole sequence, use unroll")
        return self.whole_step(params, state, z)


def cell_factory(build: Callable[Arguments, CellType]) -> Callable[Arguments, CellType]:
    """Let a factory return the same ``Cell`` for the same arguments, however they are spelt.

    ``lstm(5)``, ``lstm(hidden_size=5)`` and ``lstm(5, param_dtype="float32")`` are one object, so that a jitted
    function with the cell as a static argument is traced once. A ``dtype`` of None becomes ``param_dtype`` here.
    """
    kinds = {name: parameter.annotation for name, parameter in inspect.signature(build).parameters.items()}
    checks = {bool: check_flag, float: check_number, Cell: check_cell}

    def check(bound: inspect.BoundArguments) -> None:  # before the cache, to which 5.0 is 5 and True is 1
        for name, value in bound.arguments.items():
            if name.endswith("_size") and value is not None:
                bound.arguments[name] = check_size(name, value)
            elif name == "recurrent_init" and not isinstance(value, str) and not callable(value):
                raise UserError(f"recurrent_init must be a name or a function (key, shape, dtype), not {value!r:.60}")
            elif name in kinds and kinds[name] in checks:
                for each in value if isinstance(value, tuple) else (value,):  # a tuple: the layers of a stack
                    checks[kinds[name]](name, each)

    return cached_factory(build, check)


def check_size(name: str, size: int) -> int:
    """``size`` itself, if it is a positive whole number; a ``UserError`` that names it otherwise."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise UserError(f"{name} must be a positive whole number, not {size!r}")
    return int(size)


def check_batch_shape(batch_shape: Any) -> tuple[int, ...]:
    """Return a batch shape as a tuple, if it is a sequence of sizes; zero is one, and so is a symbol of ``jax.export``.

    Raises:
        UserError: if it is not.
    """

    def is_size(size: Any) -> bool:
        if isinstance(size, int | np.integer):
            return not isinstance(size, bool) and bool(size >= 0)
        return bool(is_symbolic_dim(size))

    if not isinstance(batch_shape, tuple | list) or not all(map(is_size, batch_shape)):
        raise UserError(f"batch_shape must be a tuple of sizes, such as (20,) or (), not {batch_shape!r:.60}")
    return tuple(batch_shape)


def check_flag(name: str, value: Any) -> None:
    """Check that ``value`` is True or False.

    Raises:
        UserError: if it is not.
    """
    if not isinstance(value, bool):
        raise UserError(f"{name} must be true or false, not {value!r:.60}")


def check_number(name: str, value: Any) -> None:
    """Check that ``value`` is a finite number.

    Raises:
        UserError: if it is not.
    """
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise UserError(f"{name} must be a finite number, not {value!r:.60}")


def check_cell(name: str, value: Any) -> None:
    """Check that ``value`` is a cell.

    Raises:
        UserError: if it is not.
    """
    if not isinstance(value, Cell):
        many = ": give them one by one, stack(*layers)" if isinstance(value, tuple | list) else ""
        raise UserError(f"{name} must be a cell, such as cells.lstm(650), not a {type(value).__name__}{many}")


def check_choice(name: str, value: str, choices: Any) -> str:
    """``value`` itself, if it is among ``choices``; a ``UserError`` that lists them otherwise."""
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")
    return value
