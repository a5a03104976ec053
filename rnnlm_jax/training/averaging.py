"""Averages of the parameters over training: exponential, or arithmetic from a trigger on (NT-ASGD, a plateau)."""

import inspect
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.errors import ConfigError


class AverageState(NamedTuple):
    """A running average of parameters, part of the training state."""

    params: Tree
    """The average; before the first update, the parameters."""
    num_updates: Int[Array, ""]
    """Number of updates that are averaged."""
    is_active: Bool[Array, ""]
    """Whether updates are averaged, and the average is what a validation evaluates."""


class Average(Protocol):
    """A kind of average. Its ``options`` are its constructor's."""

    def start(self, params: Tree) -> AverageState:
        """Return the state before the first update."""
        ...

    def update(self, state: AverageState, params: Tree) -> AverageState:
        """Return the state after an update, which gave the parameters."""
        ...

    def begins(self, losses: Sequence[float]) -> bool:
        """Return whether averaging begins after a validation.

        Args:
            losses: validation losses up to now in nats per token, the newest one last.
        """
        ...


class ExponentialAverage:
    """``a ← d a + (1 - d) p`` (Polyak & Juditsky 1992), with ``d = min(decay, (1 + n) / (10 + n))`` in update n.

    The smaller d of the first updates lets the average leave the initial parameters soon.
    """

    def __init__(self, decay: float = 0.999):
        """Check the decay, which must be at least 0 and below 1."""
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay < 1:
            raise ConfigError(f"`decay` of the average must be at least 0 and below 1, not {decay!r}")
        self.decay = decay

    def start(self, params: Tree) -> AverageState:
        """Return the state before the first update."""
        return AverageState(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32), jnp.ones((), bool))

    def update(self, state: AverageState, params: Tree) -> AverageState:
        """Return the state after an update."""
        n = state.num_updates.astype(jnp.float32)
        share = 1 - jnp.minimum(jnp.asarray(self.decay, jnp.float32), (1 + n) / (10 + n))
        return state._replace(params=_moved(state.params, params, share), num_updates=state.num_updates + 1)

    def begins(self, losses: Sequence[float]) -> bool:
        """Return False: it begins with the first update."""
        del losses
        return False


class MeanSinceTrigger:
    """The mean of the parameters after each update since a trigger, ``a ← a + (p - a) / n``."""

    def start(self, params: Tree) -> AverageState:
        """Return the state before the first update."""
        return AverageState(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32), jnp.zeros((), bool))

    def update(self, state: AverageState, params: Tree) -> AverageState:
        """Return the state after an update; before the trigger, the average is the parameters."""
        count = jnp.where(state.is_active, state.num_updates + 1, 0)
        share = 1 / jnp.maximum(count, 1).astype(jnp.float32)
        return state._replace(params=_moved(state.params, params, share), num_updates=count)


class TriggeredAverage(MeanSinceTrigger):
    """The mean since a validation that is worse than earlier ones (NT-ASGD).

    Averaging begins after the first validation whose loss is above the best of all but the last ``interval`` before it:
    ``v_t > min(v_1 … v_{t - interval - 1})``. The authors' program counts so; algorithm 1 of Merity et al. 2018 has a
    misprint in the index.
    """

    def __init__(self, interval: int = 5):
        """Check the interval, a number of validations."""
        self.interval = _validations("interval", interval, least=1)

    def begins(self, losses: Sequence[float]) -> bool:
        """Return whether the newest loss pulls the trigger."""
        *before, newest = losses
        return len(before) > self.interval and newest > min(before[: -self.interval])


class PlateauAverage(MeanSinceTrigger):
    """The mean since a plateau of the validation loss (Melis, Kočiský & Blunsom 2020, in the authors' program).

    Averaging begins after the first validation that is the last of ``patience`` in a row without a new best one, or at
    validation number ``latest`` in any case. A single bad validation does not trigger it.
    """

    def __init__(self, patience: int = 50, latest: int = 0):
        """Check the numbers of validations; ``latest`` 0: only on a plateau."""
        self.patience = _validations("patience", patience, least=1)
        self.latest = _validations("latest", latest, least=0)

    def begins(self, losses: Sequence[float]) -> bool:
        """Return whether the newest loss pulls the trigger."""
        best = min(range(len(losses)), key=lambda k: losses[k] if math.isfinite(losses[k]) else math.inf)
        return len(losses) - 1 - best >= self.patience or 0 < self.latest <= len(losses)


def _validations(name: str, value: int, least: int) -> int:
    """Return an option that is a number of validations.

    Raises:
        ConfigError: if it is not, or below ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"`{name}` of the average must be a number of validations, not {value!r}")
    return value


def _moved(average: Tree, params: Tree, share: Float[Array, ""]) -> Tree:
    return jax.tree.map(lambda a, p: a + share.astype(a.dtype) * (p - a), average, params)


AVERAGES: dict[str, Any] = {"ema": ExponentialAverage, "nt-asgd": TriggeredAverage, "plateau": PlateauAverage}


def make_average(name: str, **options: Any) -> Average | None:
    """Return the average of that name; None for "none".

    Raises:
        ConfigError: for an option that it does not have, or an impossible value.
    """
    if name == "none":
        if options:
            raise ConfigError("`average_options` are of an average: choose one with `average`, or leave them out")
        return None
    known = list(inspect.signature(AVERAGES[name]).parameters)
    for option in options:
        if option not in known:
            raise ConfigError(f"average {name!r} has no option {option!r}: its options are {', '.join(known)}")
    return AVERAGES[name](**options)


def activated(state: AverageState) -> AverageState:
    """Return the state with averaging switched on, for the updates that follow."""
    return state._replace(is_active=jnp.ones_like(state.is_active), num_updates=jnp.zeros_like(state.num_updates))
