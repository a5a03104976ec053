"""Decay of the learning rate when the validation loss stops improving.

The scale of the learning rate is part of the optimiser's state, so that a checkpoint has it. It changes after a
validation, by ``after_validation``.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import reduce_on_plateau

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.training.row_updates import with_promotion


class PlateauState(NamedTuple):
    """State of a plateau rule inside the optimiser's state."""

    scale: Float[Array, ""]
    """Factor of the learning rate."""
    has_ended: Bool[Array, ""]
    """Whether the rule ends training."""
    rule: Tree
    """State of the rule itself."""


class LatestState(NamedTuple):
    """State of ``on_plateau`` with a latest decay."""

    rule: Tree
    """State without it."""
    validations: Int[Array, ""]
    """Validations up to now."""


class NewBobState(NamedTuple):
    """State of ``new_bob``."""

    best: Float[Array, ""]
    is_decaying: Bool[Array, ""]


class Plateau(NamedTuple):
    """A rule: ``transform`` scales updates by the state's scale, ``after_validation`` gives the next state."""

    transform: optax.GradientTransformation
    after_validation: Any
    """``(PlateauState, nll) -> PlateauState``, of the mean validation loss in nats."""


def on_plateau(
    factor: float = 0.5,
    patience: int = 1,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    cooldown: int = 0,
    min_scale: float = 0.0,
    latest: int = 0,
) -> Plateau:
    """Multiply the rate by ``factor`` after ``patience`` validations in a row without improvement.

    A validation improves if its loss is below ``best (1 - rtol) - atol``. This is ``optax.contrib.reduce_on_plateau``;
    Melis et al. 2018 decay so, with factor 0.1 and a patience of 27 validations, 100 steps apart.

    Args:
        factor: factor of the rate, between 0 and 1.
        patience: number of validations.
        rtol: relative improvement that counts.
        atol: improvement that counts, in nats per token.
        cooldown: validations after a decay that are not counted.
        min_scale: least product of all factors.
        latest: number of the validation at which the rate decays in any case if it never did before; 0: none.

    Raises:
        ConfigError: for a value that is not possible.
    """
    if not 0 < factor < 1:
        raise ConfigError(f"`factor` of the plateau schedule must be between 0 and 1, not {factor}")
    if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
        raise ConfigError(f"`patience` of the plateau schedule must be a number of validations, not {patience}")
    if cooldown < 0:
        raise ConfigError(f"`cooldown` of the plateau schedule must be 0 or more validations, not {cooldown}")
    if not 0 <= min_scale <= 1:
        raise ConfigError(f"`min_scale` of the plateau schedule must be between 0 and 1, not {min_scale}")
    if latest < 0:
        raise ConfigError(f"`latest` of the plateau schedule must be a number of validations, or 0, not {latest}")
    # optax wants a tolerance; with the least positive one a tie is not an improvement.
    tolerance = {"rtol": rtol, "atol": atol} if rtol or atol else {"rtol": 0.0, "atol": 1e-38}
    try:
        rule = reduce_on_plateau(factor, patience, **tolerance, cooldown=cooldown, min_scale=min_scale)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the plateau schedule cannot be made with these options: {error}") from error

    def after(state: PlateauState, nll: Any) -> PlateauState:
        before: Any = state.rule.rule if latest else state.rule
        found: Any = with_promotion(rule).update((), before, value=nll)[1]
        own = found
        if latest:
            validations = state.rule.validations + 1
            is_late = (validations >= latest) & (found.scale == 1)
            found = found._replace(
                scale=jnp.where(is_late, jnp.maximum(found.scale * factor, min_scale), found.scale),
                plateau_count=jnp.where(is_late, 0, found.plateau_count),
                cooldown_count=jnp.where(is_late, cooldown, found.cooldown_count),
            )
            own = LatestState(found, validations)
        return PlateauState(jnp.asarray(found.scale, jnp.float32), state.has_ended, own)

    def start() -> Tree:
        own = rule.init(jnp.zeros((), jnp.float32))
        return LatestState(own, jnp.zeros((), jnp.int32)) if latest else own

    return Plateau(_scaled(start), after)


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
        ended = state.has_ended | (rule.is_decaying & is_small)
        scale = jnp.where(decaying, state.scale * factor, state.scale)
        return PlateauState(scale, ended, NewBobState(jnp.minimum(nll, rule.best), decaying))

    def start() -> NewBobState:
        return NewBobState(jnp.asarray(jnp.inf, jnp.float32), jnp.zeros((), bool))

    return Plateau(_scaled(start), after)


def _scaled(start: Any) -> optax.GradientTransformation:
    """Return the transformation that multiplies updates by the state's scale."""

    def init(params: Tree) -> PlateauState:
        del params
        return PlateauState(jnp.ones((), jnp.float32), jnp.zeros((), bool), start())

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Tree, PlateauState]:
        del params
        return jax.tree.map(lambda u: u * state.scale.astype(u.dtype), updates), state

    return optax.GradientTransformation(init, update)


def plateau_states(opt_state: Tree) -> list[PlateauState]:
    """Return the states of plateau rules in an optimiser's state."""
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda leaf: isinstance(leaf, PlateauState))
    return [leaf for leaf in leaves if isinstance(leaf, PlateauState)]
