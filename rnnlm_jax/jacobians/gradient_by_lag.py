"""How much of the gradient of one loss is left after so many steps back: one backward sweep, in logarithms."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.jacobians import scales
from rnnlm_jax.jacobians.arguments import inputs_over_time, result_dtype
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.direct_path import direct_path
from rnnlm_jax.jacobians.norms import norm
from rnnlm_jax.jacobians.scales import Scales
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory


class GradientByLag(NamedTuple):
    """Natural logs of norms, by lag ``ℓ = i - j`` from 0 up; -inf where nothing is left."""

    state: Tree
    """``ln ‖∂J_i/∂s_{i-ℓ}‖``, ℓ = 0 … T, ``[T+1, *B]`` for each part of the state: h and c apart, layers apart."""
    inputs: Float[Array, "T *B"]
    """``ln ‖∂J_i/∂x_{i-ℓ}‖``, ℓ = 0 … T-1."""
    carousel: Tree
    """What is left of the gradient at lag 1 if only the direct path carries it on (see ``direct_path``): a state of
    ``[T+1, *B]``; None for a layer that does not split."""


def gradient_by_lag(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"],
    loss_of_output: Callable[[Float[Array, "*B H"]], Float[Array, "*B"]],
) -> GradientByLag:
    """Norms of the gradient of a loss at the last step with respect to all that came before.

        ∂J_i/∂s_j = (∂J_i/∂s_i) J_i ⋯ J_{j+1},    ∂J_i/∂x_j = (∂J_i/∂s_j) ∂s_j/∂x_j    (Bengio et al. 1994)

    The sweep costs O(T·H²) a sequence and no weight gradient; it is rescaled at each step and the scale kept as a
    logarithm, so that neither vanishing nor explosion leaves the range of the type.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first input, ``[*B, ·]``.
        xs: the inputs ``x_{i-T+1} … x_i``.
        loss_of_output: ``J_i`` of each sequence as a function of its last output ``h_i``.

    Raises:
        UserError: if the inputs have no features, or the state does not fit the cell and the inputs.
    """
    xs = inputs_over_time(cell, state, xs, batched=True)
    along = _run(cell, params, state, xs)
    last = jax.tree.map(lambda part: part[-1], along.states.after)
    losses, loss_back = jax.vjp(lambda s: loss_of_output(cell.readout(params, s)), last)
    (delta,) = loss_back(jnp.ones_like(losses))
    return _swept(cell, params, xs, along, delta)


class _Run(NamedTuple):
    """A cell's projected inputs, and its states."""

    zs: Float[Array, "T *B GH"]
    states: Trajectory


@compiled("cell")
def _run(cell: Cell, params: Tree, state: Tree, xs: Array) -> _Run:
    zs = cell.input_projection(params, xs)
    return _Run(zs, trajectory(cell, params, state, zs))


@compiled("cell")
def _swept(cell: Cell, params: Tree, xs: Array, along: _Run, delta: Tree) -> GradientByLag:
    """Back from the gradient with respect to the last state."""
    zs, states = along
    _, input_projection_vjp = jax.vjp(lambda xs: cell.input_projection(params, xs), xs)
    delta, scale = _rescaled(delta, scales.ones(xs.shape[1:-1], result_dtype(cell.spec.param_dtype)))

    def back(carry: tuple[Tree, Scales], at: tuple[Tree, Array]) -> tuple[tuple[Tree, Scales], tuple]:
        delta, scale = carry
        _, pull = jax.vjp(lambda s, z: cell.step(params, s, z), *at)
        earlier, delta_z = pull(delta)
        earlier, at_earlier = _rescaled(earlier, scale)
        return (earlier, at_earlier), (_log_norms(earlier, at_earlier), delta_z, scale)

    at = (states.before, zs)
    one_back, at_one = back((delta, scale), jax.tree.map(lambda part: part[-1], at))
    _, further = jax.lax.scan(back, one_back, jax.tree.map(lambda part: part[:-1], at), reverse=True)
    norms, delta_zs, delta_scales = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), further, at_one)
    (delta_xs,) = input_projection_vjp(delta_zs)
    now = _log_norms(delta, scale)
    slopes = jax.tree.map(lambda part: part[:-1], direct_path(cell, params, *at))
    return GradientByLag(
        state=jax.tree.map(_by_lag, now, norms),
        inputs=jnp.flip(_log_norms(delta_xs, delta_scales), axis=0),
        carousel=_carried(slopes, now, *one_back),
    )


def _carried(slopes: Tree, now: Tree, delta: Tree, scale: Scales) -> Tree:
    """Norms of a gradient at lag 1 that each unit hands on to itself alone."""

    def carry_back(slopes: Array | None, now: Array, delta: Array) -> Array | None:
        if slopes is None:
            return None

        def back(carry: tuple[Array, Scales], slope: Array) -> tuple[tuple[Array, Scales], Array]:
            earlier = _rescaled(carry[0] * slope, carry[1])
            return earlier, _log_norms(*earlier)

        start = _rescaled(delta, scale)
        _, norms = jax.lax.scan(back, start, slopes, reverse=True)
        return _by_lag(now, jnp.concatenate([norms, _log_norms(*start)[None]]))

    return jax.tree.map(carry_back, slopes, now, delta, is_leaf=lambda part: part is None)


def _by_lag(now: Array, earlier: Array) -> Array:
    """Lag 0, then the others, which the reverse scan has left in the order of time."""
    return jnp.concatenate([now[None], jnp.flip(earlier, axis=0)])


def _rescaled(delta: Tree, scale: Scales) -> tuple[Tree, Scales]:
    """A cotangent divided by its largest entry over all parts, sequence by sequence, which goes into the scale."""
    largest = jnp.stack([jnp.abs(part).max(axis=-1) for part in jax.tree.leaves(delta)]).max(axis=0)
    divisor = jnp.where(largest > 0, largest, jnp.ones((), largest.dtype))
    return jax.tree.map(lambda part: part / divisor[..., None], delta), scales.times(
        scale, divisor.astype(scale.mantissa.dtype)
    )


def _log_norms(delta: Tree, scale: Scales) -> Tree:
    return jax.tree.map(lambda part: scales.log(scales.times(scale, norm(part.astype(scale.mantissa.dtype)))), delta)
