"""The contract of a regulariser: a pure function of a window of a batch, added to the loss of that window.

Every term is a weighted sum over the positions t, b of the window. The weights are those of the loss: one divided by
the loss's normaliser where a position counts, and zero where it is masked. So a term has the unit and scale of the loss
(with a loss per token, it is a mean over tokens), and terms of microbatches, or of the parts of a batch on several
devices, add up to the term of the whole batch.
"""

import enum
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, ParamSpec, Protocol

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import FactoryMade, cached_factory
from rnnlm_jax.unroll.observed_unroll import StatesOverTime, as_state, of_single_cells, single_cells

Arguments = ParamSpec("Arguments")


class Reads(enum.IntEnum):
    """What a regulariser reads; each level includes those before it."""

    OUTPUTS = 0
    """The outputs of the highest layer."""
    STATES = 1
    """The states of all layers, which ``observed_unroll`` returns."""
    COTANGENTS = 2
    """The gradient of the loss with respect to those states, which is known after the backward pass only."""


class Layer(NamedTuple):
    """One single cell over time, as a regulariser reads it."""

    cell: Cell
    params: Tree
    states: StatesOverTime
    deltas: Tree | None
    """``δ_t = ∂E/∂s_t``, states ``[T, B, ·]``; None for a regulariser that does not read ``Reads.COTANGENTS``."""


class Window(NamedTuple):
    """What there is of a window of a batch when its loss is computed."""

    weights: Float[Array, "T B"]
    """Weight of each position in the loss; 0 where it is masked."""
    hs: Float[Array, "T B H"] | None = None
    """Outputs of the highest layer."""
    dropped: Float[Array, "T B H"] | None = None
    """The same after dropout, as the output layer reads them."""
    layers: tuple[Layer, ...] = ()
    """All single cells, the lowest first; empty unless a regulariser reads more than outputs."""
    key: Key | None = None
    """Random key of the step."""
    step: Int[Array, ""] | None = None
    """Number of the training step, from 0."""


class TermFn(Protocol):
    """A regulariser's value."""

    def __call__(self, window: Window, /) -> Float[Array, ""]:
        """Return the sum over positions, without the regulariser's own weight."""
        ...


class CheckFn(Protocol):
    """Checks that a regulariser is defined for a cell."""

    def __call__(self, cell: Cell, /) -> None:
        """Raise an ``ArgumentError`` if it is not."""
        ...


def defined_for_all(cell: Cell) -> None:
    """Accept every cell: the ``CheckFn`` of a regulariser that reads outputs only."""


@dataclass(frozen=True)
class Regularizer(FactoryMade):
    """``weight · term(window)``, to be added to a loss; static and hashable."""

    name: str
    weight: float
    term: TermFn
    reads: Reads = Reads.OUTPUTS
    needs_key: bool = False
    """Whether the term draws random numbers."""
    needs_step: bool = False
    """Whether the term depends on the number of the step."""
    check: CheckFn = defined_for_all


def regularizer_factory(build: Callable[Arguments, Regularizer]) -> Callable[Arguments, Regularizer]:
    """Make a factory return the same regulariser for the same arguments, after checking them.

    ``weight`` must be a positive number, and every other argument of the type of its default: a bool, or a positive
    int. Values are checked before the cache, for which ``True == 1``.
    """
    types = {name: type(parameter.default) for name, parameter in inspect.signature(build).parameters.items()}

    def check(bound: inspect.BoundArguments) -> None:
        for name, value in bound.arguments.items():
            if name == "weight":
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                    raise ArgumentError(
                        f"`regularize` {build.__name__}={value!r}: the weight must be a positive number"
                    )
            elif types[name] is bool and not isinstance(value, bool):
                raise ArgumentError(f"`regularize` {build.__name__}_{name} must be true or false, not {value!r}")
            elif types[name] is int and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ArgumentError(
                    f"`regularize` {build.__name__}_{name} must be a positive whole number, not {value!r}"
                )

    return cached_factory(build, check)


def reads(regularizers: Sequence[Regularizer]) -> Reads:
    """Return the most that any of the regularisers reads."""
    return max((each.reads for each in regularizers), default=Reads.OUTPUTS)


def penalties(regularizers: Sequence[Regularizer], window: Window) -> dict[str, Float[Array, ""]]:
    """Return ``weight · term`` of each regulariser by name, but for those that read ``Reads.COTANGENTS``.

    Their sum is added to the loss before it is differentiated.

    Raises:
        ArgumentError: if a regulariser needs a key or a step, and the window has none.
    """
    for each in regularizers:
        if each.needs_key and window.key is None:
            raise ArgumentError(f"regulariser {each.name!r} draws random numbers: give a `key`")
        if each.needs_step and window.step is None:
            raise ArgumentError(f"regulariser {each.name!r} depends on the step: give `step`, its number")
    return {each.name: _value(each, window) for each in regularizers if each.reads < Reads.COTANGENTS}


def cotangent_penalties(
    regularizers: Sequence[Regularizer],
    cell: Cell,
    params: Tree,
    *,
    states: tuple[StatesOverTime, ...],
    shift_gradients: Sequence[Float[Array, "T B _"]],
    weights: Float[Array, "T B"],
) -> tuple[dict[str, Float[Array, ""]], Tree]:
    """Return the values of the regularisers that read ``Reads.COTANGENTS``, and the gradient of their sum.

    States and cotangents are constants; the gradient is with respect to the parameters of the cells alone, and is to be
    added to that of the loss.

    Args:
        regularizers: all regularisers; the others are left out.
        cell: the cell or stack.
        params: its parameters.
        states: the states that ``observed_unroll`` returned.
        shift_gradients: the gradient of the loss with respect to the ``shifts`` of ``observed_unroll``.
        weights: see ``Window``.
    """
    reading = [each for each in regularizers if each.reads is Reads.COTANGENTS]

    def total(params: Tree) -> tuple[Array, dict[str, Array]]:
        layers = observed_layers(cell, params, stop_gradient(states), shift_gradients)
        values = {each.name: _value(each, Window(weights, layers=layers)) for each in reading}
        return sum(values.values()), values  # pyright: ignore[reportReturnType]

    (_, values), gradient = jax.value_and_grad(total, has_aux=True)(params)
    return values, gradient


def observed_layers(
    cell: Cell,
    params: Tree,
    states: tuple[StatesOverTime, ...],
    shift_gradients: Sequence[Float[Array, "T B _"]] | None = None,
) -> tuple[Layer, ...]:
    """Return the ``layers`` of a window from what ``observed_unroll`` returned."""
    cells = single_cells(cell)
    gradients = [None] * len(cells) if shift_gradients is None else shift_gradients
    return tuple(
        Layer(each, part, run, None if gradient is None else as_state(each, gradient))
        for each, part, run, gradient in zip(cells, of_single_cells(cell, params), states, gradients, strict=True)
    )


def _value(regularizer: Regularizer, window: Window) -> Float[Array, ""]:
    term = regularizer.term(window)
    return term * jnp.asarray(regularizer.weight, term.dtype)
