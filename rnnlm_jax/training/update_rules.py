"""Update rules, entry by entry: what a rule remembers of gradients, and the direction it then moves a parameter in."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax

from rnnlm_jax.array_types import Array
from rnnlm_jax.config import OptimizerConfig

#: What a rule remembers of one parameter: arrays of its shape.
Memory = tuple[Array, ...]


@dataclass(frozen=True)
class UpdateRule:
    """``m ← remember(m, g)``, then ``p ← p - η direction(p, g, m, n)``; every function is elementwise.

    The direction reads the new ``m``, never the old, so that both can be updated in place. The formulas and constants
    are optax's.
    """

    names: tuple[str, ...]
    """The fields of optax's state that are ``m``."""
    remember: Callable[[Memory, Array], Memory]
    direction: Callable[[Array, Array, Memory, Array | None], Array]
    counts: bool = False
    """Whether the direction needs ``n``, the number of updates, this one included."""
    keeps_rest: bool = False
    """Whether a parameter without gradient stays as it is, and so does ``m``."""


def update_rule(config: OptimizerConfig) -> UpdateRule:
    """The rule of a configuration: a function of ``optimizer``, ``momentum`` and ``weight_decay``."""
    match config.optimizer:
        case "sgd":
            return UpdateRule((), lambda m, g: m, lambda p, g, m, n: g, keeps_rest=True)
        case "momentum":
            return UpdateRule(("trace",), lambda m, g: (g + config.momentum * m[0],), lambda p, g, m, n: m[0])
        case "adagrad":
            return UpdateRule(("sum_of_squares",), lambda m, g: (m[0] + g * g,), _adagrad_direction, keeps_rest=True)
        case "adam":
            return UpdateRule(("mu", "nu"), _adam_moments, _adam_direction, counts=True)
        case "adamw":
            return UpdateRule(
                ("mu", "nu"),
                _adam_moments,
                lambda p, g, m, n: _adam_direction(p, g, m, n) + config.weight_decay * p,
                counts=True,
            )
    raise AssertionError(f"{config.optimizer} is no choice of OptimizerConfig")


def _adagrad_direction(p: Array, g: Array, m: Memory, n: Array | None) -> Array:
    """``g / √(s + ε)`` with ``s`` the sum of squares (Duchi, Hazan & Singer 2011, section 1.2)."""
    del p, n
    return jnp.where(m[0] > 0, lax.rsqrt(m[0] + 1e-7), 0.0) * g


def _adam_moments(m: Memory, g: Array) -> Memory:
    """Running means of the gradient and of its square (Kingma & Ba 2015, algorithm 1)."""
    mean, square = m
    return (1 - 0.9) * g + 0.9 * mean, (1 - 0.999) * (g * g) + 0.999 * square


def _adam_direction(p: Array, g: Array, m: Memory, n: Array | None) -> Array:
    """``m̂ / (√v̂ + ε)``, both moments corrected for their start at zero (Kingma & Ba 2015, algorithm 1)."""
    del p, g
    assert n is not None, "a rule that counts is given the count"
    wide = jnp.result_type(float)
    powers = (jnp.asarray(rate, wide) ** n.astype(wide) for rate in (0.9, 0.999))
    mean, square = (moment / (1 - power).astype(moment.dtype) for power, moment in zip(powers, m, strict=True))
    return mean / (jnp.sqrt(square) + 1e-8)
