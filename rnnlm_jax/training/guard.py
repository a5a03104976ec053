"""Skip an update whose loss or gradient is not finite."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rnnlm_jax.array_types import Array, Bool, Tree


def where_finite(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return zero updates and the old state where ``update(…, is_finite=False)``.

    This is ``optax.apply_if_finite`` with two differences. The condition is an argument: a step knows it from its loss
    and the norm of its gradient. And the state is selected elementwise, which XLA fuses with the update: as a branch
    (``lax.cond``) it made whole training steps 3 to 15 % slower.

    Args:
        rule: the transformation to guard.
    """
    rule = optax.with_extra_args_support(rule)

    def update(updates: Tree, state: Tree, params: Tree = None, **extra_args: Any) -> tuple[Tree, Tree]:
        is_finite: Bool[Array, ""] = extra_args.pop("is_finite")
        moved, after = rule.update(updates, state, params, **extra_args)
        moved = jax.tree.map(lambda u: jnp.where(is_finite, u, jnp.zeros_like(u)), moved)
        return moved, jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), after, state)

    return optax.GradientTransformationExtraArgs(rule.init, update)
