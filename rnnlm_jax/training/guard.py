"""Skip an update whose loss or gradient is not finite."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.extend import core

from rnnlm_jax.array_types import Array, Bool, Tree


def no_update(like: Array) -> Array:
    """Return -0.0, the update that changes no bit of a parameter: ``-0.0 + 0.0`` would be 0.0."""
    return jnp.full_like(like, -0.0)


def where_finite(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return updates of -0.0 and the old state where ``update(…, is_finite=False)``.

    This is ``optax.apply_if_finite`` with two differences. The condition is an argument: a step knows it from its loss
    and the norm of its gradient. And there is no branch: each array of the state is selected as soon as it is computed,
    before the update reads it. XLA then fuses rule and selection, and writes the state in place; selected at the end,
    or by ``lax.cond``, Adam's update of a matrix took 1.4 times as long.

    Args:
        rule: the transformation to guard.
    """
    rule = optax.with_extra_args_support(rule)

    def update(updates: Tree, state: Tree, params: Tree = None, **extra_args: Any) -> tuple[Tree, Tree]:
        is_finite: Bool[Array, ""] = extra_args.pop("is_finite")

        def update_all(updates: Tree, state: Tree, params: Tree, extra_args: Any) -> tuple[Tree, Tree]:
            return rule.update(updates, state, params, **extra_args)

        arguments = (updates, state, params, extra_args)
        traced, shapes = jax.make_jaxpr(update_all, return_shape=True)(*arguments)
        first, old = len(jax.tree.leaves(shapes[0])), jax.tree.leaves(state)
        found = _evaluate(traced, jax.tree.leaves(arguments), outputs=slice(first, None), old=old, keep=is_finite)
        moved, after = jax.tree.unflatten(jax.tree.structure(shapes), found)
        return jax.tree.map(lambda u: jnp.where(is_finite, u, no_update(u)), moved), after

    return optax.GradientTransformationExtraArgs(rule.init, update)


def _evaluate(
    traced: core.ClosedJaxpr, arguments: list[Array], *, outputs: slice, old: list[Array], keep: Bool[Array, ""]
) -> list[Array]:
    """Evaluate a program with some of its outputs selected, wherever they are read.

    Args:
        traced: the program.
        arguments: its arguments.
        outputs: which outputs are selected.
        old: for each of them, the array to return, and to read, in its place unless ``keep``.
        keep: whether outputs are kept.
    """
    program = traced.jaxpr
    before: dict[Any, Array] = {}  # of outputs that an equation computes; the others are selected at the end
    early = []
    for variable, array in zip(program.outvars[outputs], old, strict=True):
        is_computed = not isinstance(variable, core.Literal) and variable not in program.invars
        early.append(is_computed and variable not in before)
        if early[-1]:
            before[variable] = array
    values: dict[Any, Any] = dict(zip(program.constvars, traced.consts, strict=True))
    values |= dict(zip(program.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in program.eqns:
        inputs = list(dict.fromkeys(v for v in equation.invars if not isinstance(v, core.Literal)))
        alone = program.replace(
            constvars=[],
            invars=inputs,
            outvars=equation.outvars,
            eqns=[equation],
            effects=equation.effects,
            debug_info=program.debug_info.with_unknown_names(),
        )
        results = core.jaxpr_as_fun(core.ClosedJaxpr(alone, []))(*map(read, inputs))
        for variable, value in zip(equation.outvars, results, strict=True):
            values[variable] = jnp.where(keep, value, before[variable]) if variable in before else value
    found = [read(atom) for atom in program.outvars]
    chosen = zip(found[outputs], old, early, strict=True)
    found[outputs] = [value if done else jnp.where(keep, value, array) for value, array, done in chosen]
    return found
