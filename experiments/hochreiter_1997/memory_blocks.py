"""The recurrent layers of Hochreiter & Schmidhuber (1997), weight for weight, with their truncated gradient.

``cells.lstm_1997`` is the same recurrence as a cell of this library: each memory cell has its own gates, and only
outputs of memory cells are fed back. Here cells of a block share their gates, gates are fed back too, and the squashing
functions are the paper's, so that the numbers of weights are the published ones.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.cells import Cell
from rnnlm_jax.cells.cell import CellSpec, cell_factory, check_choice, check_size

#: Which units have a bias: column 12 of the paper's table 10.
BIASES = ("none", "gates", "all")


class BlockParams(NamedTuple):
    """Weights of the U hidden units, on the last axis: memory cells, then input gates, then output gates."""

    w_x: Float[Array, "D U"]
    w_h: Float[Array, "U U"]
    b: Float[Array, " _"] | None
    """The biases of the units that have one: all, or the gates."""


class BlockState(NamedTuple):
    """Outputs of the hidden units, and contents of the memory cells."""

    units: Float[Array, "*B U"]
    contents: Float[Array, "*B H"]


@cell_factory
def memory_blocks(
    blocks: int, block_size: int = 1, biases: str = "all", *, truncated: bool = True, param_dtype: Any = jnp.float32
) -> Cell[BlockParams, BlockState]:
    """Return a layer of blocks of memory cells (Hochreiter & Schmidhuber 1997, section 4 and appendix A.1).

    With ``u_t`` the outputs of all units of the layer (memory cells, input gates, output gates), for a cell of a block,

        a_t = x_t W_x + u_{t-1} W_h + b
        s_t = s_{t-1} + σ(a^in_t) g(a^c_t),   g(a) = 2 tanh(a/2)
        y_t = σ(a^out_t) h(s_t),              h(s) = tanh(s/2)

    where the gates are those of the block. Outputs are ``y_t``.

    The published gradient is truncated: ``u_{t-1}`` in ``a_t`` is a constant, so that errors flow back in time through
    the contents of memory cells only. Values do not depend on this.

    Args:
        blocks: number of blocks.
        block_size: memory cells in each, which share their gates.
        biases: which units have one: "none", "gates" or "all".
        truncated: whether the gradient is truncated.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if a size is not a positive whole number, or ``biases`` another word.
    """
    cells = check_size("blocks", blocks) * check_size("block_size", block_size)
    units = cells + 2 * blocks
    biased = {"none": 0, "gates": 2 * blocks, "all": units}[check_choice("biases", biases, BIASES)]

    def init(key: Key, input_size: int) -> BlockParams:
        shapes = ((input_size, units), (units, units), (biased,))
        w_x, w_h, b = (
            jax.random.uniform(k, shape, param_dtype, -0.1, 0.1)
            for k, shape in zip(jax.random.split(key, 3), shapes, strict=True)
        )
        return BlockParams(w_x, w_h, b if biased else None)

    def initial_state(batch_shape: tuple[int, ...]) -> BlockState:
        return BlockState(jnp.zeros((*batch_shape, units), param_dtype), jnp.zeros((*batch_shape, cells), param_dtype))

    def input_projection(params: BlockParams, x: Array) -> Array:
        z = x @ params.w_x
        if params.b is None:
            return z
        return z + jnp.broadcast_to(jnp.pad(params.b, (units - biased, 0)), z.shape)

    def step(params: BlockParams, state: BlockState, z: Array) -> BlockState:
        before = jax.lax.stop_gradient(state.units) if truncated else state.units
        a = z + before @ params.w_h
        gates = sigmoid(a[..., cells:])
        input_gate, output_gate = (jnp.repeat(gate, block_size, axis=-1) for gate in jnp.split(gates, 2, axis=-1))
        contents = state.contents + input_gate * (2 * tanh(a[..., :cells] / 2))
        outputs = output_gate * tanh(contents / 2)
        return BlockState(jnp.concatenate([outputs, gates], axis=-1), contents)

    variant = (("blocks", blocks), ("biases", biases), ("truncated", truncated))
    dtype = jnp.dtype(param_dtype)
    return Cell(
        spec=CellSpec("memory-blocks", cells, cells, dtype, dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        whole_step=step,
        readout=lambda params, state: state.units[..., :cells],
    )


class LagParams(NamedTuple):
    """Weights from the inputs to the input gate and to the memory cell."""

    w_x: Float[Array, "D 2"]


class LagState(NamedTuple):
    """The contents of the memory cell."""

    contents: Float[Array, "*B 1"]


@cell_factory
def lag_cell(gate_bias: float = -6.0, *, param_dtype: Any = jnp.float32) -> Cell[LagParams, LagState]:
    """Return the layer of experiments 2a and 2b: one memory cell with an input gate only.

        s_t = s_{t-1} + σ(x_t w^in + b) g(x_t w^c),    y_t = h(s_t)

    with g and h as in ``memory_blocks``. There is no output gate and nothing is fed back, so that the truncated
    gradient is the whole one. The bias b is a constant: the paper has none.

    Args:
        gate_bias: b.
        param_dtype: dtype of parameters and state.
    """

    def init(key: Key, input_size: int) -> LagParams:
        return LagParams(jax.random.uniform(key, (input_size, 2), param_dtype, -0.2, 0.2))

    def initial_state(batch_shape: tuple[int, ...]) -> LagState:
        return LagState(jnp.zeros((*batch_shape, 1), param_dtype))

    def step(params: LagParams, state: LagState, z: Array) -> LagState:
        del params
        return LagState(state.contents + sigmoid(z[..., :1] + gate_bias) * (2 * tanh(z[..., 1:] / 2)))

    dtype = jnp.dtype(param_dtype)
    return Cell(
        spec=CellSpec("lag-cell", 1, 1, dtype, dtype, (("gate_bias", gate_bias),)),
        init=init,
        initial_state=initial_state,
        input_projection=lambda params, x: x @ params.w_x,
        whole_step=step,
        readout=lambda params, state: tanh(state.contents / 2),
    )


@cell_factory
def with_inputs(cell: Cell, input_size: int) -> Cell:
    """Return a cell whose outputs are followed by its inputs, so that an output layer reads both.

    Args:
        cell: one layer.
        input_size: D.
    """
    spec, inputs = cell.spec, check_size("input_size", input_size)

    def split(zx: Array) -> tuple[Array, Array]:
        z, x = jnp.split(zx, [zx.shape[-1] - inputs], axis=-1)
        return z, x

    def read(params: Any, state: Any, zx: Array) -> Array:
        z, x = split(zx)
        return jnp.concatenate([cell.output(params, state, z), x], axis=-1)

    return Cell(
        spec=CellSpec(
            f"{spec.kind}+inputs",
            spec.hidden_size,
            spec.output_size + inputs,
            spec.dtype,
            spec.param_dtype,
            spec.variant,
        ),
        init=cell.init,
        initial_state=cell.initial_state,
        input_projection=lambda params, x: jnp.concatenate([cell.input_projection(params, x), x], axis=-1),
        whole_step=lambda params, state, zx: cell.step(params, state, split(zx)[0]),
        gated_readout=read,
        prepare_params=cell.prepare_params,
    )
