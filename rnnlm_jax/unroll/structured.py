"""An executor whose backward pass keeps weight gradients out of the loop: they are one product over all steps."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.mesh_axes import zeros_of
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.unroll.control import Control, select


def structured(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Tree, Float[Array, "T B H"]]:
    """Run a cell over time as ``scan`` does, with a derivative that takes out of the loop what need not be in it.

    With ``s_t = update(s_{t-1}, z_t, r_t)`` and ``r_t = recurrent_projection(W, s_{t-1})``, tangents follow

        ds_t = ∂_s update · ds_{t-1} + ∂_z update · dz_t + ∂_r update · (recurrent_projection(W, ds_{t-1}) + u_t)

    where ``u_t``, the derivative of ``recurrent_projection(W, s_{t-1})`` along ``dW``, is taken for all steps at once before the loop.
    Transposed, the loop back in time holds cotangents of the state only, and the gradient of W comes after it as one
    product over all T·B rows (Appleyard, Kočiský & Blunsom 2016, section 3.3). A cell that does not split has
    ``ds_t = ∂_s step · ds_{t-1} + v_t``, with ``v_t`` all that ``dW`` and ``dz_t`` do.

    Kept for the way back are the states and ``r_t`` (of an additive update ``z_t + r_t``); the inside of an update is
    computed again there.

    Returns:
        the state after the last step, and the outputs.
    """
    final, states = run_states(cell, reverse, unroll, params, cell.input_projection(params, xs), control, state)
    return final, cell.readout(params, states)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def run_states(
    cell: Cell, reverse: bool, unroll: int, params: Tree, zs: Array, control: Control, state: Tree
) -> tuple[Tree, Tree]:
    """The state after the last step, and those after each."""
    return run_recurrence(cell, reverse, unroll, params, zs, control, state)[:2]


def run_recurrence(
    cell: Cell, reverse: bool, unroll: int, params: Tree, zs: Array, control: Control, state: Tree
) -> tuple[Tree, Tree, Array | None]:
    """The state after the last step, those after each, and each step's ``recurrent`` part."""
    fresh = cell.initial_state((zs.shape[1],))

    def body(state: Tree, inputs: tuple[Array, Control]) -> tuple[Tree, tuple[Tree, Array | None]]:
        z, (mask, resets) = inputs
        before = state if resets is None else select(resets, fresh, state)
        a = recurrent(cell, params, before, z)
        after = advance(cell, params, before, z, a)
        if mask is not None:
            after = select(mask, after, state)
        return after, (after, a)

    final, (states, recurrents) = jax.lax.scan(body, state, (zs, control), reverse=reverse, unroll=unroll)
    return final, states, recurrents


def recurrent(cell: Cell, params: Tree, before: Tree, z: Array) -> Array | None:
    """What products contribute to a step: ``recurrent_projection``, of an additive update with ``z`` added; None if they are inside."""
    if cell.recurrent_projection is None:
        return None
    r = cell.recurrent_projection(params, before)
    return add(cell, z, r) if cell.additive else r


def advance(cell: Cell, params: Tree, before: Tree, z: Any, a: Array | None) -> Tree:
    """The step, given its ``recurrent`` part, with which an additive update needs no ``z``."""
    if cell.update is None or a is None:
        return cell.step(params, before, z)
    z, a = (a, jnp.zeros((), a.dtype)) if cell.additive else (z, a)
    return cell.update(params, before, z, a)


def add(cell: Cell, z: Array, r: Array) -> Array:
    """``z + r`` in the dtype of the state."""
    return z.astype(cell.spec.param_dtype) + r.astype(cell.spec.param_dtype)


@functools.partial(run_states.defjvp, symbolic_zeros=True)
def _run_states_jvp(
    cell: Cell, reverse: bool, unroll: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[tuple[Tree, Tree], tuple[Tree, Tree]]:
    params, zs, control, state = primals
    dparams, dzs, _, dstate = tangents
    final, states, recurrents = run_recurrence(cell, reverse, unroll, params, zs, control, state)
    befores = states_before(cell, state, states, control, reverse)
    along = along_split if cell.splits else along_whole
    push, pushed = along(cell, params, dparams, befores, zs, dzs, recurrents)

    def body(ds: Tree, inputs: tuple[Any, Control]) -> tuple[Tree, Tree]:
        step, (mask, resets) = inputs
        after = push(ds if resets is None else select(resets, jax.tree.map(jnp.zeros_like, ds), ds), step)
        if mask is not None:
            after = select(mask, after, ds)
        return after, after

    carried = instantiated(dstate)
    return (final, states), jax.lax.scan(body, carried, (pushed, control), reverse=reverse, unroll=unroll)


def states_before(cell: Cell, state: Tree, states: Tree, control: Control, reverse: bool) -> Tree:
    """The states that the steps started from, ``[T, …]``: those after the step before, the initial state at resets."""

    def shift(first: Array, after: Array) -> Array:
        parts = [after[1:], first[None]] if reverse else [first[None], after[:-1]]
        return jnp.concatenate(parts) if after.shape[0] else after

    befores = jax.tree.map(shift, state, states)
    if control.resets is None:
        return befores
    return select(control.resets, cell.initial_state(control.resets.shape), befores)


PushFn = Callable[[Tree, Any], Tree]  # (tangent of the state before a step, what goes with the step) -> that after it


def along_split(
    cell: Cell, params: Tree, dparams: Tree, befores: Tree, zs: Array, dzs: Any, recurrents: Array | None
) -> tuple[PushFn, Any]:
    """The tangent of one step of a cell that splits, and what it takes at each step."""
    recurrent_projection = cell.recurrent_projection
    assert recurrent_projection is not None
    us = along_parameters(lambda params: recurrent_projection(params, befores), params, dparams)
    dzs = instantiated(dzs)
    if cell.additive:
        us, dzs = add(cell, dzs, us), None  # one array for both, and one cotangent
    leaves, structure = jax.tree.flatten(params)
    step = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), (befores, zs, recurrents))
    read = leaves_read(functools.partial(advance, cell), params, *step)
    dread = [d for d, is_read in zip(jax.tree.leaves(instantiated(dparams)), read, strict=True) if is_read]

    def advance_by(read_leaves: list[Array], before: Tree, z: Any, a: Array) -> Tree:
        """A step as a function of the parameters that the update itself reads: peepholes, a bias of its own."""
        rest = iter(read_leaves)
        full = [next(rest) if is_read else leaf for leaf, is_read in zip(leaves, read, strict=True)]
        return advance(cell, jax.tree.unflatten(structure, full), before, z, a)

    read_leaves = [leaf for leaf, is_read in zip(leaves, read, strict=True) if is_read]

    def push(ds: Tree, step: Any) -> Tree:
        before, z, a, dz, u = step
        return again(
            advance_by,
            (read_leaves, before, z, a),
            (dread, ds, dz, recurrent_projection(params, ds).astype(u.dtype) + u),
        )

    return push, (befores, None if cell.additive else zs, recurrents, dzs, us)


def along_whole(
    cell: Cell, params: Tree, dparams: Tree, befores: Tree, zs: Array, dzs: Any, recurrents: Array | None
) -> tuple[PushFn, Any]:
    """The tangent of one step of a cell that does not split, and what it takes at each step."""
    del recurrents
    vs = along_parameters(lambda both: cell.step(both[0], befores, both[1]), (params, zs), (dparams, dzs))

    def push(ds: Tree, step: Any) -> Tree:
        before, z, v = step
        return jax.tree.map(jnp.add, again(lambda s: cell.step(params, s, z), (before,), (ds,)), v)

    return push, (befores, zs, vs)


def along_parameters(function: Callable[[Tree], Tree], params: Tree, dparams: Tree) -> Tree:
    """The derivative of a function of the parameters, for all steps at once; no product for parameters that stay."""
    if all(isinstance(d, SymbolicZero) for d in jax.tree.leaves(dparams)):
        return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(function, params))
    return again(function, (params,), (instantiated(dparams),))


def instantiated(tangents: Tree) -> Tree:
    """Tangents of which those known to be zero are arrays of zeros."""

    def instantiate(tangent: Any) -> Any:
        if not isinstance(tangent, SymbolicZero):
            return tangent
        return zeros_of(tangent.aval)

    return jax.tree.map(instantiate, tangents)


def again(function: Callable[..., Tree], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tree:
    """The derivative of ``function`` along ``tangents``; for its transpose what it needs is computed again."""

    def derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tree:
        return jax.jvp(function, primals, tangents)[1]

    return jax.checkpoint(derivative, prevent_cse=False)(primals, tangents)


def leaves_read(function: Callable[..., Tree], params: Tree, *others: Any) -> list[bool]:
    """Of each leaf of ``params``, whether ``function(params, *others)`` reads it."""
    jaxpr = jax.make_jaxpr(function)(params, *others).jaxpr
    read = {id(v) for equation in jaxpr.eqns for v in equation.invars} | {id(v) for v in jaxpr.outvars}
    return [id(v) in read for v in jaxpr.invars[: len(jax.tree.leaves(params))]]
