"""Decay of the learning rate when the validation loss stops improving.

The scale of the learning rate is part of the optimiser's state, so a checkpoint has it; it changes when a validation
ends, by ``after_validation``.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import ReduceLROnPlateauState, reduce_on_plateau

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.training.row_updates import with_promotion


class PlateauState(NamedTuple):
    """State of a plateau rule inside the optimiser's state."""

    scale: Float[Array, ""]
    """Factor of the learning rate."""
    rule: Tree
    """State of the rule itself."""


class NewBobState(NamedTuple):
    """State of ``new_bob``."""

    best: Float[Array, ""]
    is_decaying: Bool[Array, ""]
    has_ended: Bool[Array, ""]
    """Whether the improvement fell below the threshold a second time; training may end."""


class Plateau(NamedTuple):
    """A rule: ``transform`` scales updates by the state's scale, ``after_validation`` gives the next state."""

    transform: optax.GradientTransformation
    after_validation: Any
    """``(PlateauState, nll) -> PlateauState``, of the mean validation loss in nats."""


def on_plateau(factor: float = 0.5, patience: int = 1, **options: Any) -> Plateau:
    """Multiply the rate by ``factor`` after ``patience`` validations without improvement, as optax counts them.

    Args:
        factor: between 0 and 1.
        patience: validations.
        options: of ``optax.contrib.reduce_on_plateau``: rtol, atol, cooldown, min_scale.

    Raises:
        ConfigError: for a value that optax refuses.
    """
    try:
        rule = reduce_on_plateau(factor, patience, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the plateau schedule cannot be made with these options: {error}") from error

    def after(state: PlateauState, nll: Any) -> PlateauState:
        found: ReduceLROnPlateauState = with_promotion(rule).update((), state.rule, value=nll)[1]
        return PlateauState(jnp.asarray(found.scale, jnp.float32), found)

    return Plateau(_scaled(lambda: rule.init(jnp.zeros((), jnp.float32))), after)


def new_bob(factor: float = 0.5, threshold: float = 0.003) -> Plateau:
    """Multiply the rate by ``factor`` at every validation once the loss improves by less than a relative ``threshold``.

    When it does so again, training may end (Mikolov et al. 2010, section 2).

    Raises:
        ConfigError: if ``factor`` is not between 0 and 1, or ``threshold`` is negative.
    """
    if not 0 < factor < 1:
        raise ConfigError(f"`factor` of new-bob must be between 0 and 1, not {factor}")
    if threshold < 0:
        raise ConfigError(f"`threshold` of new-bob must be 0 or more, not {threshold}")

    def after(state: PlateauState, nll: Any) -> PlateauState:
        rule: NewBobState = state.rule
        nll = jnp.asarray(nll, jnp.float32)
        is_small = nll > (1 - threshold) * rule.best
        decaying = rule.is_decaying | is_small
        ended = rule.has_ended | (rule.is_decaying & is_small)
        scale = jnp.where(decaying, state.scale * factor, state.scale)
        return PlateauState(scale, NewBobState(jnp.minimum(nll, rule.best), decaying, ended))

    def start() -> NewBobState:
        return NewBobState(jnp.asarray(jnp.inf, jnp.float32), jnp.zeros((), bool), jnp.zeros((), bool))

    return Plateau(_scaled(start), after)


def _scaled(start: Any) -> optax.GradientTransformation:
    """Return the transformation that multiplies updates by the state's scale."""

    def init(params: Tree) -> PlateauState:
        del params
        return PlateauState(jnp.ones((), jnp.float32), start())

    def update(updates: Tree, state: PlateauState, params: Tree = None) -> tuple[Tree, PlateauState]:
        del params
        return jax.tree.map(lambda u: u * state.scale.astype(u.dtype), updates), state

    return optax.GradientTransformation(init, update)


def advance(opt_state: Tree, plateau: Plateau, nll: float) -> Tree:
    """Return the optimiser's state with the plateau's part moved on by a validation loss."""
    return jax.tree.map(
        lambda leaf: plateau.after_validation(leaf, nll) if isinstance(leaf, PlateauState) else leaf,
        opt_state,
        is_leaf=lambda leaf: isinstance(leaf, PlateauState),
    )
