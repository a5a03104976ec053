"""The executor whose backward pass forms weight gradients outside the loop, as one product over all steps."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.tangents import instantiated, is_zero
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.unroll.control import Control, select


def structured(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    *,
    reverse: bool = False,
    scan_unroll: int = 1,
) -> tuple[Tree, Float[Array, "T B H"]]:
    """Run a cell over time with weight gradients outside the loop, an ``ExecutorFn``.

    With ``s_t = update(s_{t-1}, z_t, r_t)`` and ``r_t = recurrent_projection(W, s_{t-1})``, tangents follow

        ds_t = ∂_s update · ds_{t-1} + ∂_z update · dz_t + ∂_r update · (recurrent_projection(W, ds_{t-1}) + u_t)

    where ``u_t``, the derivative of ``recurrent_projection(W, s_{t-1})`` along ``dW``, is computed for all steps at
    once before the loop. Transposed, the loop back in time holds cotangents of the state only, and the gradient of W
    follows as one product over all T·B rows (Appleyard, Kočiský & Blunsom 2016, section 3.3). A cell that does not
    split has ``ds_t = ∂_s step · ds_{t-1} + v_t``, where ``v_t`` is the derivative along ``dW`` and ``dz_t``.

    Residuals are the states and ``r_t`` (``z_t + r_t`` of an additive update); the inside of an update is recomputed in
    the backward pass.
    """
    zs = cell.input_projection(params, xs)
    final, states = run_states(cell, reverse, scan_unroll, params, zs, control, state, None)
    return final, cell.output(params, states, zs)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def run_states(
    cell: Cell, reverse: bool, scan_unroll: int, params: Tree, zs: Array, control: Control, state: Tree, shifts: Tree
) -> tuple[Tree, Tree]:
    """Return the state after the last step, and the states after every step.

    Args:
        cell, reverse, scan_unroll, params, control, state: see ``structured``.
        zs: the projected inputs.
        shifts: states ``[T, B, ·]``, added to the state after each step that counts; None: zeros.
    """
    return run_recurrence(cell, reverse, scan_unroll, params, zs, control, state, shifts)[:2]


def run_recurrence(
    cell: Cell, reverse: bool, scan_unroll: int, params: Tree, zs: Array, control: Control, state: Tree, shifts: Tree
) -> tuple[Tree, Tree, Array | None]:
    """Return the state after the last step, the states after every step, and every step's ``recurrent_part``."""
    fresh = cell.initial_state((zs.shape[1],))

    def body(state: Tree, inputs: tuple[Array, Control, Tree]) -> tuple[Tree, tuple[Tree, Array | None]]:
        z, (mask, resets), shift = inputs
        before = state if resets is None else select(resets, fresh, state)
        a = recurrent_part(cell, params, before, z)
        after = shifted(advance(cell, params, before, z, a), shift)
        if mask is not None:
            after = select(mask, after, state)
        return after, (after, a)

    inputs = (zs, control, shifts)
    final, (states, recurrents) = jax.lax.scan(body, state, inputs, reverse=reverse, unroll=scan_unroll)
    return final, states, recurrents


def shifted(state: Tree, shift: Tree) -> Tree:
    """Return ``state + shift``; None is zero."""
    return state if shift is None else jax.tree.map(jnp.add, state, shift)


def recurrent_part(cell: Cell, params: Tree, before: Tree, z: Array) -> Array | None:
    """Return ``r``, or ``z + r`` for an additive update; None for a cell that does not split."""
    if cell.recurrent_projection is None:
        return None
    r = cell.recurrent_projection(params, before)
    return add_to_input(cell, z, r) if cell.additive else r


def advance(cell: Cell, params: Tree, before: Tree, z: Any, a: Array | None) -> Tree:
    """Return the state after a step, given its ``recurrent_part``; an additive update does not read ``z``."""
    if cell.update is None or a is None:
        return cell.step(params, before, z)
    z, a = (a, jnp.zeros((), a.dtype)) if cell.additive else (z, a)
    return cell.update(params, before, z, a)


def add_to_input(cell: Cell, z: Array, r: Array) -> Array:
    """Return ``z + r`` in the dtype of the state."""
    return z.astype(cell.spec.param_dtype) + r.astype(cell.spec.param_dtype)


@functools.partial(run_states.defjvp, symbolic_zeros=True)
def _run_states_jvp(
    cell: Cell, reverse: bool, scan_unroll: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[tuple[Tree, Tree], tuple[Tree, Tree]]:
    params, zs, control, state, shifts = primals
    dparams, dzs, _, dstate, dshifts = tangents
    final, states, recurrents = run_recurrence(cell, reverse, scan_unroll, params, zs, control, state, shifts)
    befores = states_before(cell, state, states, control, reverse)
    make_tangent_step = separable_tangent_step if cell.splits else whole_tangent_step
    tangent_step, step_inputs = make_tangent_step(cell, params, dparams, befores, zs, dzs, recurrents)

    def body(ds: Tree, inputs: tuple[Any, Control, Tree]) -> tuple[Tree, Tree]:
        step, (mask, resets), dshift = inputs
        before = ds if resets is None else select(resets, jax.tree.map(jnp.zeros_like, ds), ds)
        after = shifted(tangent_step(before, step), dshift)
        if mask is not None:
            after = select(mask, after, ds)
        return after, after

    inputs = (step_inputs, control, instantiated(dshifts))
    return (final, states), jax.lax.scan(body, instantiated(dstate), inputs, reverse=reverse, unroll=scan_unroll)


def states_before(cell: Cell, state: Tree, states: Tree, control: Control, reverse: bool) -> Tree:
    """Return the states before every step, ``[T, …]``: those after the step before, the initial state at resets."""

    def shift(first: Array, after: Array) -> Array:
        parts = [after[1:], first[None]] if reverse else [first[None], after[:-1]]
        return jnp.concatenate(parts) if after.shape[0] else after

    befores = jax.tree.map(shift, state, states)
    if control.resets is None:
        return befores
    return select(control.resets, cell.initial_state(control.resets.shape), befores)


# (tangent of the state before a step, inputs of the step) -> tangent of the state after it
TangentStepFn = Callable[[Tree, Any], Tree]


def separable_tangent_step(
    cell: Cell, params: Tree, dparams: Tree, befores: Tree, zs: Array, dzs: Any, recurrents: Array | None
) -> tuple[TangentStepFn, Any]:
    """Return the tangent of one step of a cell that splits, and its inputs at every step."""
    recurrent_projection = cell.recurrent_projection
    assert recurrent_projection is not None
    us = parameter_tangents(lambda params: recurrent_projection(params, befores), params, dparams)
    dzs = instantiated(dzs)
    if cell.additive:
        us, dzs = add_to_input(cell, dzs, us), None  # one array for both, and one cotangent
    leaves, structure = jax.tree.flatten(params)
    step = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), (befores, zs, recurrents))
    read = leaves_read(functools.partial(advance, cell), params, *step)
    dread = [d for d, is_read in zip(jax.tree.leaves(instantiated(dparams)), read, strict=True) if is_read]

    def advance_by(read_leaves: list[Array], before: Tree, z: Any, a: Array) -> Tree:
        """A step as a function of the parameters that the update reads: peepholes, a bias of its own."""
        rest = iter(read_leaves)
        full = [next(rest) if is_read else leaf for leaf, is_read in zip(leaves, read, strict=True)]
        return advance(cell, jax.tree.unflatten(structure, full), before, z, a)

    read_leaves = [leaf for leaf, is_read in zip(leaves, read, strict=True) if is_read]

    def tangent_step(ds: Tree, step: Any) -> Tree:
        before, z, a, dz, u = step
        return rematerialized_jvp(
            advance_by,
            (read_leaves, before, z, a),
            (dread, ds, dz, recurrent_projection(params, ds).astype(u.dtype) + u),
        )

    return tangent_step, (befores, None if cell.additive else zs, recurrents, dzs, us)


def whole_tangent_step(
    cell: Cell, params: Tree, dparams: Tree, befores: Tree, zs: Array, dzs: Any, recurrents: Array | None
) -> tuple[TangentStepFn, Any]:
    """Return the tangent of one step of a cell that does not split, and its inputs at every step."""
    del recurrents
    vs = parameter_tangents(lambda both: cell.step(both[0], befores, both[1]), (params, zs), (dparams, dzs))

    def tangent_step(ds: Tree, step: Any) -> Tree:
        before, z, v = step
        return jax.tree.map(jnp.add, rematerialized_jvp(lambda s: cell.step(params, s, z), (before,), (ds,)), v)

    return tangent_step, (befores, zs, vs)


def parameter_tangents(function: Callable[[Tree], Tree], params: Tree, dparams: Tree) -> Tree:
    """Return the derivative of a function of the parameters at all steps; zeros if the parameters are fixed."""
    if all(map(is_zero, jax.tree.leaves(dparams))):
        return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(function, params))
    return rematerialized_jvp(function, (params,), (instantiated(dparams),))


def rematerialized_jvp(function: Callable[..., Tree], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tree:
    """Return the derivative of ``function`` along ``tangents``; its transpose recomputes the residuals."""

    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tree:
        return jax.jvp(function, primals, tangents)[1]

    return jax.checkpoint(derivative, prevent_cse=False)(primals, tangents)


def leaves_read(function: Callable[..., Tree], params: Tree, *others: Any) -> list[bool]:
    """Return for each leaf of ``params`` whether ``function(params, *others)`` reads it."""
    jaxpr = jax.make_jaxpr(function)(params, *others).jaxpr
    read = {id(v) for equation in jaxpr.eqns for v in equation.invars} | {id(v) for v in jaxpr.outvars}
    return [id(v) in read for v in jaxpr.invars[: len(jax.tree.leaves(params))]]
