"""Cells made of cells: layers one above the other, or one cell in each direction of time."""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory
from rnnlm_jax.errors import ArgumentError

#: In place of a projected input, for the output of cells that do not read it.
NO_INPUT: Any = None


class Passed(NamedTuple):
    """What the layers of a stack up to one pass on upwards."""

    below: Array
    """The input of the next layer."""
    total: Array | None = None
    """The sum of their outputs, in a stack that sums them."""

    @property
    def output(self) -> Array:
        """The output of the stack if it ends here."""
        return self.below if self.total is None else self.total


@dataclass(frozen=True)
class Stack(Cell[tuple[Any, ...], tuple[Any, ...]]):
    """A cell made of layers; ``unroll`` runs it layer by layer, ``step`` through all layers at once."""

    layers: tuple[Cell, ...] = field(kw_only=True)
    residual: bool = field(kw_only=True)
    sum_outputs: bool = field(kw_only=True)

    def passed(self, h: Array, before: Passed | None) -> Passed:
        """Return what the layers up to one pass on.

        Args:
            h: the output of that layer alone.
            before: what the layers below it pass on; None for the lowest.
        """
        if self.sum_outputs:
            return Passed(h, h if before is None or before.total is None else h + before.total)
        return Passed(h + before.below if self.residual and before is not None else h)

    def token_flops(self, params: tuple[Tree, ...]) -> float:
        """Return the operations of one step forward through all layers."""
        return sum(layer.token_flops(part) for layer, part in zip(self.layers, params, strict=True))


@dataclass(frozen=True)
class Bidirectional(Cell["Directions", "Directions"]):
    """A cell for each direction of time; it can be unrolled but not stepped."""

    forward: Cell = field(kw_only=True)
    backward: Cell = field(kw_only=True)

    def token_flops(self, params: "Directions") -> float:
        """Return the operations of one step in both directions."""
        return self.forward.token_flops(params.forward) + self.backward.token_flops(params.backward)


@serialized
class Directions(NamedTuple):
    """Parameters or states of the two directions of a bidirectional cell."""

    forward: Tree
    backward: Tree


@cell_factory
def stack(*layers: Cell, residual: bool = False, sum_outputs: bool = False) -> Stack:
    """Return layers one above the other, ``h^k_t = cell_k(h^{k-1}_t)`` with ``h^0 = x`` (Graves 2013, section 2).

    Parameters and state are tuples with one entry a layer.

    Args:
        *layers: the cells, lowest first.
        residual: whether each layer from the second on adds its input to its output, ``h^k_t = cell_k(h^{k-1}_t) +
            h^{k-1}_t`` (He et al. 2016).
        sum_outputs: whether the output is the sum of all layers' outputs, ``Σ_k h^k_t``, in place of the highest one's
            (Melis et al. 2018). Layers still read the one below them alone.

    Raises:
        ArgumentError: without layers, if layers that are added differ in size, or if both options are chosen.
    """
    if not layers:
        raise ArgumentError("a stack needs at least one layer")
    if residual and sum_outputs:
        raise ArgumentError("`residual` and `sum_outputs` are two ways to pass lower layers on: choose one")
    sizes = [layer.spec.output_size for layer in layers]
    for added, option, which in ((residual, "residual", "residual"), (sum_outputs, "sum_outputs", "summed")):
        if added and len(set(sizes)) > 1:
            raise ArgumentError(
                f"{which} layers must have one output size, not {sizes}: leave `{option}` out or make them equal"
            )

    def init(key: Key, input_size: int) -> tuple[Tree, ...]:
        keys = jax.random.split(key, len(layers))
        inputs = [input_size, *sizes[:-1]]
        return tuple(layer.init(k, size) for layer, k, size in zip(layers, keys, inputs, strict=True))

    def initial_state(batch_shape: tuple[int, ...]) -> tuple[Tree, ...]:
        return tuple(layer.initial_state(batch_shape) for layer in layers)

    def input_projection(params: tuple[Tree, ...], x: Array) -> Array:
        return layers[0].input_projection(params[0], x)

    def climb(
        params: tuple[Tree, ...], z: Array, state_of: Callable[[int, Array], Tree]
    ) -> tuple[tuple[Tree, ...], Array]:
        """Return the states of all layers, and the output of the stack.

        Args:
            params: parameters of the layers.
            z: the projected input of the lowest.
            state_of: a layer's index and projected input to its state after the step.
        """
        states: list[Tree] = []
        passed: Passed | None = None
        for k, layer in enumerate(layers):
            if passed is not None:
                z = layer.input_projection(params[k], passed.below)
            states.append(state_of(k, z))
            passed = made.passed(layer.output(params[k], states[k], z), passed)
        assert passed is not None
        return tuple(states), passed.output

    def whole_step(params: tuple[Tree, ...], state: tuple[Tree, ...], z: Array) -> tuple[Tree, ...]:
        return climb(params, z, lambda k, z: layers[k].step(params[k], state[k], z))[0]

    def readout(params: tuple[Tree, ...], state: tuple[Tree, ...]) -> Array:
        lowest = 0 if residual or sum_outputs else len(layers) - 1  # residual outputs are sums of the layers' own, too
        hs = (layers[k].output(params[k], state[k], NO_INPUT) for k in range(lowest, len(layers)))
        return functools.reduce(operator.add, hs)

    def gated_readout(params: tuple[Tree, ...], state: tuple[Tree, ...], z: Array) -> Array:
        return climb(params, z, lambda k, z: state[k])[1]

    def prepare(params: tuple[Tree, ...]) -> tuple[Tree, ...]:
        return tuple(layer.prepare(part) for layer, part in zip(layers, params, strict=True))

    gated = any(layer.gated_readout is not None for layer in layers)
    top = layers[-1].spec
    spec = CellSpec("stack", top.hidden_size, top.output_size, top.dtype, top.param_dtype, (("layers", len(layers)),))
    made = Stack(
        spec,
        init,
        initial_state,
        input_projection,
        None if gated else readout,
        whole_step=whole_step,
        gated_readout=gated_readout if gated else None,
        prepare_params=prepare if any(layer.prepare_params for layer in layers) else None,
        layers=layers,
        residual=residual,
        sum_outputs=sum_outputs,
    )
    return made


@cell_factory
def bidirectional(forward: Cell, backward: Cell) -> Bidirectional:
    """Return two cells that read the sequence in opposite directions, outputs side by side (Schuster & Paliwal 1997).

        h_t = [forward(x_1 … x_t), backward(x_T … x_t)]

    Outputs depend on later inputs, so that it cannot be a language model, and it can be unrolled but not stepped.
    Parameters and state are ``Directions``; the output size is the sum of both.
    """

    def init(key: Key, input_size: int) -> Directions:
        keys = jax.random.split(key)
        return Directions(forward.init(keys[0], input_size), backward.init(keys[1], input_size))

    def initial_state(batch_shape: tuple[int, ...]) -> Directions:
        return Directions(forward.initial_state(batch_shape), backward.initial_state(batch_shape))

    def no_projection(params: Directions, x: Array) -> Array:
        raise ArgumentError("a bidirectional cell cannot be projected as one: it reads the whole sequence, use unroll")

    def no_readout(params: Directions, state: Directions) -> Array:
        raise ArgumentError("a bidirectional cell has no output at one step: it reads the whole sequence, use unroll")

    def prepare(params: Directions) -> Directions:
        return Directions(forward.prepare(params.forward), backward.prepare(params.backward))

    sizes = (forward.spec, backward.spec)
    spec = CellSpec(
        "bidirectional",
        sum(s.hidden_size for s in sizes),
        sum(s.output_size for s in sizes),
        forward.spec.dtype,
        forward.spec.param_dtype,
    )
    return Bidirectional(
        spec,
        init,
        initial_state,
        no_projection,
        no_readout,
        prepare_params=prepare if forward.prepare_params or backward.prepare_params else None,
        forward=forward,
        backward=backward,
    )
