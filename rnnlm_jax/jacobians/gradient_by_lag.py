"""Norms of the gradient of a loss with respect to earlier states and inputs, by lag, from one backward pass."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.broadcasting import as_rows, over_parts
from rnnlm_jax.arrays.power_of_two import times_power_of_two
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.jacobians.arguments import inputs_over_time, result_dtype
from rnnlm_jax.jacobians.arithmetic import extended_range
from rnnlm_jax.jacobians.arithmetic.extended_range import ExtendedFloats
from rnnlm_jax.jacobians.arithmetic.norms import norm
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.direct_path import direct_path
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory


class LossOfOutput(Protocol):
    """A loss at one time step."""

    def __call__(self, h: Float[Array, "*B H"], /) -> Float[Array, "*B"]:
        """Return the loss of each sequence, given the output of the cell."""
        ...


class GradientByLag(NamedTuple):
    """Natural logs of Euclidean norms by lag ``ℓ = i - j`` in steps, from 0; -inf for a gradient of zero."""

    state: Tree
    """``ln ‖∂E_i/∂s_{i-ℓ}‖`` for ℓ = 0 … T, a state with leaves ``[T+1, *B]``: one for h and c each, and per layer."""
    inputs: Float[Array, "T *B"]
    """``ln ‖∂E_i/∂x_{i-ℓ}‖`` for ℓ = 0 … T-1."""
    direct_path: Tree
    """Like ``state``, but from lag 1 on the gradient is propagated by the direct path alone (see ``direct_path``: for
    the c of an LSTM, by its forget gates); None for a layer that does not split."""


def gradient_by_lag(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"] | ArrayLike,
    *,
    loss_of_output: LossOfOutput,
) -> GradientByLag:
    """Return log norms of the gradient of a loss ``E_i`` at the last step with respect to earlier states and inputs.

        ∂E_i/∂s_j = (∂E_i/∂s_i) J_i ⋯ J_{j+1},    ∂E_i/∂x_j = (∂E_i/∂s_j) ∂s_j/∂x_j    (Bengio et al. 1994)

    It costs O(T·H²) a sequence; weight gradients are not computed. The gradient is rescaled at each step and the scale
    is kept with an exponent of its own, so that it neither underflows nor overflows.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first input, ``[*B, ·]``.
        xs: the inputs ``x_{i-T+1} … x_i``.
        loss_of_output: ``E_i`` of each sequence as a function of its last output ``h_i``.

    Raises:
        ArgumentError: if the inputs have no features, or the state does not fit the cell and the inputs.
    """
    xs = inputs_over_time(cell, state, xs, batched=True)
    run = _run(cell, params, state, xs)
    last = jax.tree.map(lambda part: part[-1], run.states.after)
    losses, loss_vjp = jax.vjp(lambda s, z: loss_of_output(cell.output(params, s, z)), last, run.zs[-1])
    delta, delta_z = loss_vjp(jnp.ones_like(losses))
    return _backward_pass(cell, params, xs, run=run, delta=delta, delta_z=delta_z)


class _Run(NamedTuple):
    """The projected inputs and the states of a cell over time."""

    zs: Float[Array, "T *B GH"]
    states: Trajectory


@compiled("cell")
def _run(cell: Cell, params: Tree, state: Tree, xs: Array) -> _Run:
    zs = cell.input_projection(params, xs)
    return _Run(zs, trajectory(cell, params, state, zs))


@compiled("cell")
def _backward_pass(cell: Cell, params: Tree, xs: Array, *, run: _Run, delta: Tree, delta_z: Array) -> GradientByLag:
    """Propagate backwards the gradient ``delta`` with respect to the last state.

    ``delta_z`` is the gradient with respect to the last projected input by way of a ``gated_readout``.
    """
    zs, states = run
    _, input_projection_vjp = jax.vjp(lambda xs: cell.input_projection(params, xs), xs)
    delta, scale = _rescale(delta, extended_range.ones(xs.shape[1:-1], result_dtype(cell.spec.param_dtype)))

    def back(carry: tuple[Tree, ExtendedFloats], at: tuple[Tree, Array]) -> tuple[tuple[Tree, ExtendedFloats], tuple]:
        delta, scale = carry
        _, step_vjp = jax.vjp(lambda s, z: cell.step(params, s, z), *at)
        earlier, delta_z = step_vjp(delta)
        earlier, earlier_scale = _rescale(earlier, scale)
        return (earlier, earlier_scale), (_log_norms(earlier, earlier_scale), delta_z, scale)

    steps = (states.before, zs)
    at_lag_1, results_of_last_step = back((delta, scale), jax.tree.map(lambda part: part[-1], steps))
    if cell.gated_readout is not None:
        through_output = times_power_of_two(delta_z / scale.mantissa[..., None], -scale.exponent[..., None])
        norms, through_state, last_scale = results_of_last_step
        results_of_last_step = (norms, through_state + through_output, last_scale)
    _, results = jax.lax.scan(back, at_lag_1, jax.tree.map(lambda part: part[:-1], steps), reverse=True)
    results = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), results, results_of_last_step)
    norms, delta_zs, delta_scales = results
    (delta_xs,) = input_projection_vjp(delta_zs)
    norms_at_lag_0 = _log_norms(delta, scale)
    derivatives = jax.tree.map(lambda part: part[:-1], direct_path(cell, params, *steps))
    return GradientByLag(
        state=jax.tree.map(_by_lag, norms_at_lag_0, norms),
        inputs=jnp.flip(_log_norms(delta_xs, delta_scales), axis=0),
        direct_path=_norms_by_direct_path(derivatives, norms_at_lag_0, *at_lag_1),
    )


def _norms_by_direct_path(derivatives: Tree, norms_at_lag_0: Tree, delta: Tree, scale: ExtendedFloats) -> Tree:
    """Propagate the gradient at lag 1 by each unit's derivative with respect to itself, and return its log norms."""

    def propagate(derivatives: Array | None, norms_at_lag_0: Array, delta: Array) -> Array | None:
        if derivatives is None:
            return None

        def back(carry: tuple[Array, ExtendedFloats], derivative: Array) -> tuple[tuple[Array, ExtendedFloats], Array]:
            earlier = _rescale(carry[0] * derivative, carry[1])
            return earlier, _log_norms(*earlier)

        start = _rescale(delta, scale)
        _, norms = jax.lax.scan(back, start, derivatives, reverse=True)
        return _by_lag(norms_at_lag_0, jnp.concatenate([norms, _log_norms(*start)[None]]))

    return jax.tree.map(propagate, derivatives, norms_at_lag_0, delta, is_leaf=lambda part: part is None)


def _by_lag(at_lag_0: Array, earlier: Array) -> Array:
    """Concatenate lag 0 and the results of a reverse scan, which are in the order of time."""
    return jnp.concatenate([at_lag_0[None], jnp.flip(earlier, axis=0)])


def _rescale(delta: Tree, scale: ExtendedFloats) -> tuple[Tree, ExtendedFloats]:
    """Divide the cotangent of each sequence by its largest entry over all parts, and multiply the scale by it."""
    rows = [as_rows(part, scale.mantissa.ndim) for part in jax.tree.leaves(delta)]
    largest = jnp.stack([jnp.abs(row).max(axis=-1) for row in rows]).max(axis=0)
    divisor = jnp.where(largest > 0, largest, jnp.ones((), largest.dtype))
    rescaled = jax.tree.map(lambda part: part / over_parts(divisor, part), delta)
    return rescaled, extended_range.times(scale, divisor.astype(scale.mantissa.dtype))


def _log_norms(delta: Tree, scale: ExtendedFloats) -> Tree:
    def log_norm(part: Array) -> Array:
        row = as_rows(part, scale.mantissa.ndim).astype(scale.mantissa.dtype)
        return extended_range.log(extended_range.times(scale, norm(row)))

    return jax.tree.map(log_norm, delta)
