"""The Mogrifier LSTM, in which input and hidden state scale each other before the LSTM reads them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.cells.lstm import LSTMState, cap_input_gate, zero_state
from rnnlm_jax.errors import ArgumentError

#: Standard deviation of a standard normal number within ±2.
TRUNCATED = 0.8796256610342398


@serialized
class MogrifierLSTMParams(NamedTuple):
    """An LSTM's two maps and bias, gates in the order i, f, g, o; and the rounds' maps and biases side by side.

    K rounds scale the input by ``2σ(h Q + b_q)`` and K or K - 1 the state by ``2σ(x R + b_r)``. With rank k, Q is a
    block of ``left_q [H, K*k]`` times one of ``w_q [k, K*D]``, and the same for R; at full rank there is no left
    factor. What no round reads is None.
    """

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "H 4*H"]
    b: Float[Array, " 4*H"]
    w_q: Float[Array, "_ K*D"] | None
    b_q: Float[Array, " K*D"] | None
    w_r: Float[Array, "_ K*H"] | None
    b_r: Float[Array, " K*H"] | None
    left_q: Float[Array, "H K*k"] | None
    left_r: Float[Array, "D K*k"] | None


@cell_factory
def mogrifier_lstm(
    hidden_size: int,
    rounds: int = 5,
    rank: int | None = None,
    forget_bias: float = 1.0,
    input_gate: str = "free",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[MogrifierLSTMParams, LSTMState]:
    """Return the Mogrifier LSTM (Melis, Kočiský & Blunsom 2020, section 2).

    From ``x = x_t`` and ``h = h_{t-1}``, odd and even rounds in turn compute

        x ← 2σ(h Q + b_q) x,    h ← 2σ(x R + b_r) h,

    with matrices and biases of their own; then, with ``i, f, g, o`` the four blocks of ``x W_x + h W_h + b``,

        c_t = σ(f) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t).

    The scaled input depends on the state, so that no product with it can be taken for all steps at once: the projected
    input z is x_t itself, and the cell does not split. The biases of the rounds are those of the authors' code; the
    paper's equations leave them out. As there, matrices start as truncated normal numbers of variance ``1/fan_in``, or
    pairs of factors whose product has it, and the biases of the rounds at zero.

    Args:
        hidden_size: H.
        rounds: number of rounds, 5 in the authors' Penn Treebank model; 0 is the LSTM.
        rank: rank k of every Q and R, each a product of two factors; None: full rank. 84 in the paper's Penn Treebank
            model of 24 million parameters.
        forget_bias: initial value of the forget gate's block of ``b``; nothing is added to it later.
        input_gate: "free", or "capped" by one minus the forget gate as in the authors' experiments, see ``lstm``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a number of rounds that is negative or not whole, an unknown input gate, or a rank or size
            that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    rank = None if rank is None else check_size("rank", rank)
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 0:
        raise ArgumentError(f"`rounds` must be a whole number of at least 0, not {rounds!r:.60}: 0 is the LSTM")
    capped = check_choice("input_gate", input_gate, ("free", "capped")) == "capped"
    to_gates = linear_maps.input_projection(dtype)

    def init(key: Key, input_size: int) -> MogrifierLSTMParams:
        check_size("input_size", input_size)
        gates_key, q_key, r_key = jax.random.split(key, 3)
        sizes = (input_size, hidden_size)
        w_x, w_h = (
            _normal(k, (size, 4 * hidden_size), size**-0.5, param_dtype)
            for k, size in zip(jax.random.split(gates_key), sizes, strict=True)
        )
        b = jnp.repeat(jnp.asarray([0.0, forget_bias, 0.0, 0.0], param_dtype), hidden_size)
        left_q, w_q, b_q = _initial_scaling(q_key, hidden_size, input_size, (rounds + 1) // 2, rank, param_dtype)
        left_r, w_r, b_r = _initial_scaling(r_key, input_size, hidden_size, rounds // 2, rank, param_dtype)
        return MogrifierLSTMParams(w_x, w_h, b, w_q, b_q, w_r, b_r, left_q, left_r)

    def input_projection(params: MogrifierLSTMParams, x: Array) -> Array:
        if x.shape[-1] != params.w_x.shape[0]:
            raise ArgumentError(
                f"{x.shape[-1]} features do not fit parameters made for {params.w_x.shape[0]}: check `input_size`"
            )
        return x.astype(param_dtype)

    def scaled(a: Array, by: Array, left: Array | None, w: Array | None, b: Array | None, count: int, k: int) -> Array:
        """Return ``2σ(by Q_k + b_k) a``, with Q_k block number k of ``count``."""
        assert w is not None
        assert b is not None
        if left is not None:
            by = linear_maps.product(by, jnp.split(left, count, axis=-1)[k], dtype)
        product = linear_maps.product(by, jnp.split(w, count, axis=-1)[k], dtype).astype(param_dtype)
        return 2 * sigmoid(product + over_batch(jnp.split(b, count)[k], product)) * a

    def whole_step(params: MogrifierLSTMParams, state: LSTMState, z: Array) -> LSTMState:
        x, h = z, state.hidden
        for k in range(rounds):
            if k % 2 == 0:
                x = scaled(x, h, params.left_q, params.w_q, params.b_q, (rounds + 1) // 2, k // 2)
            else:
                h = scaled(h, x, params.left_r, params.w_r, params.b_r, rounds // 2, k // 2)
        a = linear_maps.preactivation(to_gates(params, x), linear_maps.product(h, params.w_h, dtype), state.cell)
        i, f, g, o = linear_maps.activate_gates(cap_input_gate(a) if capped else a, 4, candidate=2)
        cell = f * state.cell + i * g
        return LSTMState(o * tanh(cell), cell)

    variant = (("rounds", rounds), ("rank", rank), ("forget_bias", forget_bias), ("input_gate", input_gate))
    return Cell(
        spec=CellSpec("mogrifier-lstm", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=input_projection,
        whole_step=whole_step,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",), read_by_products=("hidden",)))


def _initial_scaling(
    key: Key, rows: int, columns: int, count: int, rank: int | None, dtype: Any
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the left factors, matrices and biases of ``count`` maps from ``rows`` to ``columns`` numbers."""
    if count == 0:
        return None, None, None
    left_key, key = jax.random.split(key)
    b = jnp.zeros((count * columns,), dtype)
    if rank is None:
        return None, _normal(key, (rows, count * columns), rows**-0.5, dtype), b
    deviation = (rows * rank) ** -0.25  # a sum of `rank` products of two factors then has the variance 1/rows
    left = _normal(left_key, (rows, count * rank), deviation, dtype)
    return left, _normal(key, (rank, count * columns), deviation, dtype), b


def _normal(key: Key, shape: tuple[int, ...], deviation: float, dtype: Any) -> Array:
    """Draw normal numbers truncated at two deviations, scaled so that ``deviation`` is that of the truncated ones."""
    return jax.nn.initializers.truncated_normal(deviation / TRUNCATED, dtype)(key, shape)
