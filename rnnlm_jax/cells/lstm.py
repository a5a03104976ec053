"""The long short-term memory with a forget gate, and what its relatives share with it."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.log_slopes import log_abs_tanh, log_sigmoid_slope
from rnnlm_jax.arrays.mesh_axes import has_explicit_axes
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, Kernel, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer, StateFn
from rnnlm_jax.kernels import lstm as lstm_kernel


@serialized
class LSTMParams(NamedTuple):
    """Two linear maps and a bias; gates on the last axis in the order i, f, g, o."""

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "H 4*H"]
    b: Float[Array, " 4*H"]


@serialized
class LSTMState(NamedTuple):
    """The hidden state h and the cell state c."""

    hidden: Float[Array, "*B H"]
    cell: Float[Array, "*B H"]


def zero_state(hidden_size: int, dtype: Any) -> StateFn[LSTMState]:
    """Return ``initial_state`` of every LSTM: zeros."""

    def initial_state(batch_shape: tuple[int, ...]) -> LSTMState:
        shape = (*check_batch_shape(batch_shape), hidden_size)
        return LSTMState(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))  # two buffers, so that both can be donated

    return initial_state


def log_output_slopes(after: LSTMState, o: Array) -> Array:
    """Return ``ln|tanh(c_t) σ'(o)|``, an LSTM's slope of h along the output gate's pre-activation.

    Every LSTM whose gates read only h computes c' from (h, c) and h' from (h, c'). Subtracting ``∂h'/∂c'`` times the
    rows of c' from those of h' leaves a block triangle,

        J = [[B + E A, E K], [A, K]]   →   [[B, 0], [A, K]],    B = diag(tanh(c') σ'(o)) U_o,    K = ∂c'/∂c, diagonal,

    so that ``det J = det B · det K`` whatever the other gates are.
    """
    return log_abs_tanh(after.cell) + log_sigmoid_slope(o)


def log_slopes(params: Any, before: LSTMState, after: LSTMState, z: Array, r: Array) -> Array:
    """Return ``ln σ(f) + ln|tanh(c_t) σ'(o)|`` of an LSTM with gates i, f, g, o."""
    del params
    _, f, _, o = linear_maps.split_gates(linear_maps.preactivation(z, r, before.cell), 4)
    return log_sigmoid(f) + log_output_slopes(after, o)


def cap_input_gate(a: Array) -> Array:
    """Return pre-activations of gates i, f, g, o with ``min(i, -f)`` in place of i: ``σ(-f)`` is ``1 - σ(f)``."""
    i, f, g, o = linear_maps.split_gates(a, 4)
    return jnp.concatenate([jnp.where(-f <= i, -f, i), f, g, o], axis=-1)  # of equal ones, -f has the gradient


@cell_factory
def lstm(
    hidden_size: int,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    input_gate: str = "free",
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[LSTMParams, LSTMState]:
    """Return the LSTM with a forget gate (Gers, Schmidhuber & Cummins 2000).

    With ``i, f, g, o`` the four blocks of ``x_t W_x + h_{t-1} W_h + b``,

        c_t = σ(f) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t).

    With ``input_gate="capped"``, ``min(1 - σ(f), σ(i))`` takes the place of σ(i) (Melis, Dyer & Blunsom 2018):
    ``|c|`` never exceeds 1. It is computed as ``σ(min(-f, i))``.

    Args:
        hidden_size: H.
        forget_bias: initial value of the forget gate's block of ``b``; nothing is added to it later.
        recurrent_init: initialiser of each gate's block of ``w_h``, see ``elman``.
        input_gate: "free", or "capped" by one minus the forget gate.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or input gate, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    capped = check_choice("input_gate", input_gate, ("free", "capped")) == "capped"
    biases = (0.0, forget_bias, 0.0, 0.0)
    input_projection = linear_maps.input_projection(dtype)

    def update(params: LSTMParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del params
        a = linear_maps.preactivation(z, r, state.cell)
        i, f, g, o = linear_maps.activate_gates(cap_input_gate(a) if capped else a, 4, candidate=2)
        cell = f * state.cell + i * g
        return LSTMState(o * tanh(cell), cell)

    def run_masked_kernel(
        params: LSTMParams,
        state: LSTMState,
        xs: Array,
        step_mask: Array,
        keep_state: Array,
        state_masks: LSTMState,
        *,
        reverse: bool,
    ) -> tuple[LSTMState, LSTMState]:
        rest = (params.b, *state, step_mask, keep_state, state_masks.hidden)
        if has_explicit_axes((params, xs)):
            zs, _ = linear_maps.without_bias(input_projection, params, xs)
            hs, hidden, cell = lstm_kernel.lstm(zs, params.w_h, *rest, reverse=reverse, capped=capped)
        else:
            linear_maps.check_features(xs, params.w_x)
            matrices = (params.w_x, params.w_h)
            hs, hidden, cell = lstm_kernel.lstm_of_inputs(xs, *matrices, *rest, reverse=reverse, capped=capped)
        return LSTMState(hidden, cell), LSTMState(hs, hs)  # readout reads the hidden part only

    def run_kernel(
        params: LSTMParams, state: LSTMState, xs: Array, step_mask: Array, keep_state: Array, *, reverse: bool
    ) -> tuple[LSTMState, LSTMState]:
        no_mask = jnp.zeros((0, 0), param_dtype)
        masks = LSTMState(no_mask, no_mask)
        return run_masked_kernel(params, state, xs, step_mask, keep_state, masks, reverse=reverse)

    # Another kind: weights of an LSTM of other libraries do not compute the same with a capped gate.
    kind = "lstm-capped" if capped else "lstm"
    return Cell(
        spec=CellSpec(kind, hidden_size, hidden_size, dtype, param_dtype, (("forget_bias", forget_bias),)),
        init=linear_maps.initial_maps(LSTMParams, hidden_size, biases, recurrent_init, param_dtype),
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=input_projection,
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            kernel=Kernel(LSTMParams, run_kernel, run_masked_kernel),
            is_cudnn_lstm=not capped,
            # Neither input gate reads c_{t-1}, so that ∂c_t/∂c_{t-1} is σ(f) for both.
            log_determinant=LogDeterminant(log_slopes, linear_maps.last_block(hidden_size, dtype)),
            recurrent_matrices=("w_h",),
        )
    )
