"""Gated recurrent units with a single gate: MGU, JANET, LiGRU and UGRNN."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.cells.cell_functions import Initializer, StateFn, UpdateFn
from rnnlm_jax.errors import ArgumentError


@serialized
class SingleGateParams(NamedTuple):
    """Two linear maps and a bias; blocks on the last axis: the gate (f, or u in the MGU and LiGRU), the candidate n."""

    w_x: Float[Array, "D 2*H"]
    w_h: Float[Array, "H 2*H"]
    b: Float[Array, " 2*H"]


@serialized
class SingleGateState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


@cell_factory
def mgu(
    hidden_size: int,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[SingleGateParams, SingleGateState]:
    """Return the minimal gated unit, MGU (Zhou, Wu, Zhang & Zhou 2016).

    With ``a_u, a_n`` the two blocks of ``x_t W_x + b`` and ``U_u, U_n`` those of ``W_h``,

        u = σ(a_u + h_{t-1} U_u),    h_t = (1 - u) h_{t-1} + u tanh(a_n + (u h_{t-1}) U_n):

    a GRU whose reset gate is its update gate. The paper calls u the forget gate f. As it weighs the state before the
    product, the cell does not split.

    Args:
        hidden_size: H.
        recurrent_init: initialiser of each block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def whole_step(params: SingleGateParams, state: SingleGateState, z: Array) -> SingleGateState:
        hidden = state.hidden
        w_u, w_n = linear_maps.split_gates(params.w_h, 2)
        z_u, z_n = linear_maps.split_gates(z, 2)
        a_u = linear_maps.preactivation(z_u, linear_maps.product(hidden, w_u, dtype), hidden)
        u = sigmoid(a_u)
        n = tanh(linear_maps.preactivation(z_n, linear_maps.product(u * hidden, w_n, dtype), hidden))
        return SingleGateState(interpolate(sigmoid(-a_u), u, hidden, n))

    return Cell(
        spec=CellSpec("mgu", hidden_size, hidden_size, dtype, param_dtype),
        init=linear_maps.initial_maps(SingleGateParams, hidden_size, (0.0, 0.0), recurrent_init, param_dtype),
        initial_state=_zero_state(hidden_size, param_dtype),
        input_projection=linear_maps.input_projection(dtype),
        whole_step=whole_step,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",)))


@cell_factory
def janet(
    hidden_size: int,
    max_length: int | None = None,
    forget_bias: float = 1.0,
    input_shift: float = 1.0,
    recurrent_init: str | Initializer = "glorot",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[SingleGateParams, SingleGateState]:
    """Return JANET, an LSTM with nothing but its forget gate (van der Westhuizen & Lasenby 2018, section 3).

    With ``f, n`` the two blocks of ``x_t W_x + h_{t-1} W_h + b``,

        h_t = σ(f) h_{t-1} + (1 - σ(f - β)) tanh(n).

    With the longest dependency T of the data given, the forget gate's block of ``b`` is drawn as ``ln u`` with u
    uniform in [1, T - 1], so that memories last for up to T steps (chrono initialisation; Tallec & Ollivier 2018).

    Args:
        hidden_size: H.
        max_length: T, the longest dependency in steps, at least 2; None: every forget bias is ``forget_bias``.
        forget_bias: initial value of the forget gate's block of ``b``; read without ``max_length`` only.
        input_shift: β; above 0, more of the candidate is let in than of the old state is forgotten.
        recurrent_init: initialiser of each block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a ``max_length`` below 2, an unknown initialiser, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    if max_length is not None and (isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 2):
        raise ArgumentError(
            f"`max_length` must be a whole number of at least 2, not {max_length!r:.60}: a number of steps"
        )

    def chrono(key: Key) -> dict[str, Array]:
        if max_length is None:
            return {}
        longest = max(max_length - 1, 1)
        b_f = jnp.log(jax.random.uniform(key, (hidden_size,), param_dtype, 1.0, float(longest)))
        return {"b": jnp.concatenate([b_f, jnp.zeros_like(b_f)])}

    def update(params: SingleGateParams, state: SingleGateState, z: Array, r: Array) -> SingleGateState:
        del params
        f, n = linear_maps.split_gates(linear_maps.preactivation(z, r, state.hidden), 2)
        return SingleGateState(sigmoid(f) * state.hidden + sigmoid(input_shift - f) * tanh(n))

    variant = (("max_length", max_length), ("forget_bias", forget_bias), ("input_shift", input_shift))
    return Cell(
        spec=CellSpec("janet", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=linear_maps.initial_maps(
            SingleGateParams, hidden_size, (forget_bias, 0.0), recurrent_init, param_dtype, extra=chrono
        ),
        initial_state=_zero_state(hidden_size, param_dtype),
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",)))


@cell_factory
def ligru(
    hidden_size: int,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[SingleGateParams, SingleGateState]:
    """Return the light gated recurrent unit, LiGRU (Ravanelli, Brakel, Omologo & Bengio 2018, section III).

    With ``u, n`` the two blocks of ``x_t W_x + h_{t-1} W_h + b``,

        h_t = σ(u) h_{t-1} + (1 - σ(u)) max(n, 0):

    a GRU without a reset gate. The paper normalises ``x_t W_x`` over the batch and its steps, which keeps the
    candidate in bounds; a cell here computes each sequence by itself, so that this is left out: watch the norm of h.

    Args:
        hidden_size: H.
        recurrent_init: initialiser of each block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def update(params: SingleGateParams, state: SingleGateState, z: Array, r: Array) -> SingleGateState:
        del params
        u, n = linear_maps.split_gates(linear_maps.preactivation(z, r, state.hidden), 2)
        return SingleGateState(interpolate(sigmoid(u), sigmoid(-u), state.hidden, jax.nn.relu(n)))

    return _interpolating("ligru", hidden_size, update, 0.0, (), recurrent_init, dtype, param_dtype)


@cell_factory
def ugrnn(
    hidden_size: int,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "glorot",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[SingleGateParams, SingleGateState]:
    """Return the update-gate recurrent network, UGRNN (Collins, Sohl-Dickstein & Sussillo 2017).

    With ``f, n`` the two blocks of ``x_t W_x + h_{t-1} W_h + b``,

        h_t = σ(f) h_{t-1} + (1 - σ(f)) tanh(n):

    a highway network over time; f is the paper's g.

    Args:
        hidden_size: H.
        forget_bias: initial value of the gate's block of ``b``, which the paper tunes; nothing is added to it later.
        recurrent_init: initialiser of each block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def update(params: SingleGateParams, state: SingleGateState, z: Array, r: Array) -> SingleGateState:
        del params
        f, n = linear_maps.split_gates(linear_maps.preactivation(z, r, state.hidden), 2)
        return SingleGateState(interpolate(sigmoid(f), sigmoid(-f), state.hidden, tanh(n)))

    variant = (("forget_bias", forget_bias),)
    return _interpolating("ugrnn", hidden_size, update, forget_bias, variant, recurrent_init, dtype, param_dtype)


def _interpolating(
    kind: str,
    hidden_size: int,
    update: UpdateFn[SingleGateParams, SingleGateState],
    gate_bias: float,
    variant: tuple[tuple[str, Any], ...],
    recurrent_init: str | Initializer,
    dtype: Any,
    param_dtype: Any,
) -> Cell[SingleGateParams, SingleGateState]:
    """Return a cell of one gate and one candidate that both read the state itself."""
    return Cell(
        spec=CellSpec(kind, hidden_size, hidden_size, dtype, param_dtype, variant),
        init=linear_maps.initial_maps(SingleGateParams, hidden_size, (gate_bias, 0.0), recurrent_init, param_dtype),
        initial_state=_zero_state(hidden_size, param_dtype),
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",)))


def _zero_state(hidden_size: int, dtype: Any) -> StateFn[SingleGateState]:
    def initial_state(batch_shape: tuple[int, ...]) -> SingleGateState:
        return SingleGateState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), dtype))

    return initial_state
