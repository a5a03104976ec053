"""``log|det J_t|`` of step Jacobians, exactly, and for most cells without a matrix.

Every LSTM whose gates see only h computes c' from (h, c) and h' from (h, c'). Subtracting ``∂h'/∂c'`` times the rows of
c' from those of h' leaves a block triangle,

    J = [[B + E A, E K], [A, K]]   →   [[B, 0], [A, K]],    B = diag(tanh(c') σ'(o)) U_o,    K = ∂c'/∂c, diagonal,

so that ``det J = det B · det K`` whatever the other gates are. A stack's J is block triangular by layers.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Stack
from rnnlm_jax.cells.linear_maps import preactivation, split_gates
from rnnlm_jax.jacobians.arguments import floating, real_array, result_dtype
from rnnlm_jax.jacobians.arithmetic.log_abs_det import log_abs_det
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.step_jacobian import autodiff_jacobian, recurrent_projection_matrix, structured_jacobian

UnitLogs = Callable[[Tree, Tree, Tree, Array], Array]  # (params, state before, after, a[..., G*H]) -> nats a unit


class StepDeterminant(NamedTuple):
    """``log|det J_t|``, and how many null directions of ``J_t`` the closed form knows of."""

    log_abs_det: Float[Array, "*B"]
    null: Int[Array, "*B"]


def has_closed_form(cell: Cell) -> bool:
    """Whether ``step_log_abs_det`` needs O(H) a step for this cell, or for each layer of this stack."""
    if isinstance(cell, Stack):
        return all(map(has_closed_form, cell.layers))
    return _closed_form(cell) is not None


def step_log_abs_det(cell: Cell, params: Tree, states_before: Tree, zs: Float[Array, "*B GH"]) -> Float[Array, "*B"]:
    """``log|det ∂s_t/∂s_{t-1}|`` in nats, of the full state, for any number of steps at once.

    With pre-activations a and the recurrent block U of a call factored once,

        Elman:  Σ ln|φ'(a)| + ln|det U|
        LSTM:   Σ ln f + Σ ln|tanh c'| + Σ ln o(1 - o) + ln|det U_o|

    and for its relatives ∂c'/∂c in place of f (1 without a forget gate; with peepholes the slope through them too) and
    ``W_p U_o``, of rank P, for a projection: -inf if P < H. Sums are of logarithms, so no gate saturates and no product
    underflows. Other cells form each step's matrix and factor it, O(n³) a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        states_before: the states ``s_{t-1}``, ``[*B, ·]``: any leading axes, time among them.
        zs: the projected inputs of the steps, with the same leading axes.

    Returns:
        one value a step; -inf exactly where a slope is zero (a ReLU below its threshold, a cell that holds nothing).
    """
    zs = floating(real_array(zs, "projected inputs"), cell.spec.param_dtype)
    return _step_log_abs_det(cell, params, states_before, zs)


@compiled("cell")
def _step_log_abs_det(cell: Cell, params: Tree, states_before: Tree, zs: Array) -> Array:
    return step_determinant(cell, params, states_before, zs).log_abs_det


def step_determinant(cell: Cell, params: Tree, states_before: Tree, zs: Float[Array, "*B GH"]) -> StepDeterminant:
    """``step_log_abs_det``, and the null directions: units without a slope, and what a projection leaves out."""
    if isinstance(cell, Stack):
        return _of_stack(cell, params, states_before, zs)
    closed = _closed_form(cell)
    if closed is None:
        found = _by_factoring(cell, params, states_before, zs)
        return StepDeterminant(found, jnp.zeros(found.shape, jnp.int32))
    assert cell.recurrent_projection is not None and cell.update is not None
    units, recurrent = closed
    r = cell.recurrent_projection(params, states_before)
    after = cell.update(params, states_before, zs, r)
    a = preactivation(zs, r, jax.tree.leaves(states_before)[0])
    logs = units(params, states_before, after, a)
    null = jnp.maximum((logs == -jnp.inf).sum(axis=-1, dtype=jnp.int32), _missing_rank(cell, params))
    total = recurrent(cell, params)
    return StepDeterminant(logs.astype(total.dtype).sum(axis=-1) + total, null)


def _of_stack(stack: Stack, params: Tree, states: Tree, zs: Array) -> StepDeterminant:
    """The sum over layers: a layer's new state depends on its own old one and on those below, never above.

    Null directions of one layer may be the way of another, so that only those of the worst are certain.
    """
    total, null = jnp.zeros((), result_dtype(stack.spec.param_dtype)), jnp.zeros((), jnp.int32)
    below = None
    for layer, layer_params, state in zip(stack.layers, params, states, strict=True):
        zs = zs if below is None else layer.input_projection(layer_params, below)
        found = step_determinant(layer, layer_params, state, zs)
        total = total + found.log_abs_det.astype(total.dtype)
        null = jnp.maximum(null, found.null)
        h = layer.readout(layer_params, layer.step(layer_params, state, zs))
        below = h if below is None or not stack.residual else h + below
    return StepDeterminant(total, null)


def _by_factoring(cell: Cell, params: Tree, states: Tree, zs: Array) -> Array:
    """LU of each step's Jacobian, one after the other: no two matrices are held at once."""
    mixing = recurrent_projection_matrix(cell, params) if cell.splits else None

    def one(step: tuple[Tree, Array]) -> Array:
        state, z = step
        if mixing is None:
            return log_abs_det(autodiff_jacobian(cell, params, state, z))
        return log_abs_det(structured_jacobian(cell, params, state, z, recurrent_matrix=mixing))

    batch_shape = zs.shape[:-1]
    steps = jax.tree.map(lambda a: a.reshape(-1, a.shape[-1]), (states, zs))
    return jax.lax.map(one, steps).reshape(batch_shape)


# Closed forms: what each unit gives, and the one determinant.


def _closed_form(cell: Cell) -> tuple[UnitLogs, Callable[[Cell, Tree], Array]] | None:
    if not cell.is_of_the_library:
        return None
    if cell.spec.kind == "elman":
        units = ELMAN_UNITS.get(dict(cell.spec.variant)["activation"])
    else:
        units = LSTM_UNITS.get(cell.spec.kind)
    return None if units is None else (units, _log_det_output_block)


def _log_det_output_block(cell: Cell, params: Tree) -> Array:
    """``ln|det|`` of the block of ``recurrent_projection`` that feeds the output gate, the last one, or the only one there is."""
    dtype, units = cell.spec.param_dtype, cell.spec.hidden_size
    block = params.w_h[:, -units:].astype(cell.spec.dtype).astype(dtype)  # rounded as the products round it
    if cell.spec.kind == "lstm-projected":
        if block.shape[0] < units:
            return jnp.full((), -jnp.inf, result_dtype(dtype))
        block = params.w_p.astype(cell.spec.dtype).astype(dtype) @ block
    return log_abs_det(block)


def _missing_rank(cell: Cell, params: Tree) -> int:
    """By how much a projection makes the rank of every step's Jacobian less than n."""
    if cell.spec.kind != "lstm-projected":
        return 0
    return max(0, cell.spec.hidden_size - params.w_h.shape[0])


def log_sigmoid_slope(a: Array) -> Array:
    """``ln σ'(a) = -|a| - 2 ln(1 + e^{-|a|})``, however saturated."""
    return -jnp.abs(a) - 2 * jnp.log1p(jnp.exp(-jnp.abs(a)))


def log_tanh_slope(a: Array) -> Array:
    """``ln tanh'(a) = ln 4 + ln σ'(2a)``: ``1 - tanh²`` would cancel."""
    return math.log(4) + log_sigmoid_slope(2 * a)


def log_abs_tanh(a: Array) -> Array:
    """``ln|tanh a|``; -inf, with a derivative of 0, at zero."""
    zero = a == 0
    doubled = -2 * jnp.abs(jnp.where(zero, jnp.ones_like(a), a))
    return jnp.where(zero, -jnp.inf, jnp.log(-jnp.expm1(doubled)) - jnp.log1p(jnp.exp(doubled)))


def log_relu_slope(a: Array) -> Array:
    """``ln 1`` above zero, ``ln 0`` elsewhere."""
    return jnp.where(a > 0, jnp.zeros_like(a), jnp.where(jnp.isnan(a), a, -jnp.inf))


ELMAN_UNITS: dict[str, UnitLogs] = {
    "identity": lambda params, before, after, a: jnp.zeros_like(a),
    "sigmoid": lambda params, before, after, a: log_sigmoid_slope(a),
    "tanh": lambda params, before, after, a: log_tanh_slope(a),
    "relu": lambda params, before, after, a: log_relu_slope(a),
}


def _show(after: Tree, o: Array) -> Array:
    """``ln|tanh(c') σ'(o)|``: the diagonal of B."""
    return log_abs_tanh(after.cell) + log_sigmoid_slope(o)


def _lstm(params: Tree, before: Tree, after: Tree, a: Array) -> Array:
    _, f, _, o = split_gates(a, 4)
    return log_sigmoid(f) + _show(after, o)


def _lstm_1997(params: Tree, before: Tree, after: Tree, a: Array) -> Array:
    return _show(after, split_gates(a, 3)[-1])


def _coupled(params: Tree, before: Tree, after: Tree, a: Array) -> Array:
    f, _, o = split_gates(a, 3)
    return log_sigmoid(f) + _show(after, o)


def _peephole(params: Tree, before: Tree, after: Tree, a: Array) -> Array:
    """``K = f + p_f c f(1 - f) + p_i tanh(g) i(1 - i)``, the larger gate taken out before the sum."""
    i, f, g, o = split_gates(a, 4)
    i, f = i + params.peep_i * before.cell, f + params.peep_f * before.cell
    larger = jnp.maximum(log_sigmoid(f), log_sigmoid(i))
    kept = jnp.exp(log_sigmoid(f) - larger) * (1 + params.peep_f * before.cell * sigmoid(-f))
    written = jnp.exp(log_sigmoid(i) - larger) * params.peep_i * jnp.tanh(g) * sigmoid(-i)
    return larger + jnp.log(jnp.abs(kept + written)) + _show(after, o + params.peep_o * after.cell)


LSTM_UNITS: dict[str, UnitLogs] = {
    "lstm": _lstm,
    "lstm-projected": _lstm,
    "lstm-coupled": _coupled,
    "lstm-1997": _lstm_1997,
    "lstm-peephole": _peephole,
}
