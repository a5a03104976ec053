"""Optax's optimisers by name, and the one transformation that training applies.

    guard(chain(clip_by_global_norm(c), rule(schedule)))

run by rows where a table's gradient is (``row_updates``). Clipping happens here and nowhere else.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from rnnlm_jax.array_types import Array, Bool, Tree
from rnnlm_jax.errors import ConfigError

RuleFactory = Callable[..., optax.GradientTransformation]


def momentum(learning_rate: optax.ScalarOrSchedule, momentum: float = 0.9) -> optax.GradientTransformation:
    """``v ← g + μ v``, then ``p ← p - η v``."""
    return optax.sgd(learning_rate, momentum)


def nesterov(learning_rate: optax.ScalarOrSchedule, momentum: float = 0.9) -> optax.GradientTransformation:
    """Momentum with the gradient taken ahead (Nesterov 1983; Sutskever et al. 2013)."""
    return optax.sgd(learning_rate, momentum, nesterov=True)


def sm3(learning_rate: optax.Schedule, momentum: float = 0.9) -> optax.GradientTransformation:
    """SM3 (Anil et al. 2019), whose function in optax takes no schedule."""
    return optax.chain(optax.sm3(1.0, momentum), optax.scale_by_schedule(learning_rate))


#: Those that need nothing but gradients and parameters, by the names that optax gives them.
RULES: dict[str, RuleFactory] = {
    "sgd": optax.sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "sm3": sm3,
    **{
        name: getattr(optax, name)
        for name in (
            *("adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamaxw", "adamw", "adan"),
            *("amsgrad", "fromage", "lamb", "lars", "lion", "nadam", "nadamw", "novograd", "radam", "rmsprop"),
            *("sign_sgd", "signum", "yogi"),
        )
        if hasattr(optax, name)
    },
    **{name: getattr(contrib, name) for name in ("ademamix", "adopt", "madgrad", "muon") if hasattr(contrib, name)},
}


def make_rule(name: str, schedule: optax.Schedule, **options: Any) -> optax.GradientTransformation:
    """Return the update rule of that name.

    Args:
        name: one of ``RULES``.
        schedule: the learning rate of each update.
        options: of optax's function, checked against its signature.

    Raises:
        ConfigError: for an unknown name or option, or a value that optax refuses.
    """
    if name not in RULES:
        raise ConfigError(f"unknown `optimizer` {name!r}: choose one of {', '.join(RULES)}, or give FILE.py:function")
    known = rule_options(name)
    for option in options:
        if option not in known:
            raise ConfigError(f"optimizer {name!r} has no option {option!r}: it has {', '.join(known) or 'none'}")
    try:
        return RULES[name](schedule, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer {name!r} cannot be made with these options: {error}") from error


def rule_options(name: str) -> list[str]:
    """Return the names of the options of a rule."""
    return [p for p in inspect.signature(RULES[name]).parameters if p != "learning_rate"]


def with_clipping(
    rule: optax.GradientTransformation, clip_norm: float | None, scope: str = "all"
) -> optax.GradientTransformation:
    """Return ``chain(clip_by_global_norm(c), rule)``: ``g ← c·g/‖g‖`` where ``‖g‖ ≥ c``.

    Pascanu, Mikolov & Bengio 2013, algorithm 1.

    Args:
        rule: the update rule.
        clip_norm: c; None for no clipping.
        scope: "all", or "cells" to clip the cells by the norm of their own gradient, and the rest not at all
            (Jozefowicz et al. 2016, section 4).
    """
    if clip_norm is None:
        return rule
    clip = optax.clip_by_global_norm(clip_norm)
    return optax.chain(optax.masked(clip, of_cells) if scope == "cells" else clip, rule)


def where_finite(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Leave parameters and state as they are where ``update(…, is_finite=False)``.

    As ``optax.apply_if_finite``, but for a condition that the step has anyway (the loss and the gradient's norm are
    finite), and by selection in place of a branch, which XLA fuses with the update: a branch made a whole step 3 to
    15 % slower.
    """
    rule = optax.with_extra_args_support(rule)

    def update(
        updates: Tree, state: Tree, params: Tree = None, *, is_finite: Bool[Array, ""], **extra_args: Any
    ) -> tuple[Tree, Tree]:
        moved, after = rule.update(updates, state, params, **extra_args)
        moved = jax.tree.map(lambda u: jnp.where(is_finite, u, jnp.zeros_like(u)), moved)
        return moved, jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), after, state)

    return optax.GradientTransformationExtraArgs(rule.init, update)


def of_cells(params: Tree) -> Tree:
    """Return which leaves are parameters of the cells: a tree of truth values like the model's parameters."""
    return jax.tree.map_with_path(lambda path, _: getattr(path[0], "name", None) == "cell", params)
