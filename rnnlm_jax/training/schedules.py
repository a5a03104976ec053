"""Learning-rate schedules: functions of the number n of updates made, counted from 0, as optax takes them.

Each function of this file returns one for a peak rate η and the length of a job. ``learning_rates`` chooses them by
name.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import optax

from rnnlm_jax.array_types import Array
from rnnlm_jax.errors import ConfigError


@dataclass(frozen=True)
class Length:
    """How long a job and its epochs are, in updates."""

    steps: int
    epoch_ends: tuple[int, ...]
    """Updates done at the end of each epoch, ascending; epochs beyond are as long as the last one."""

    @classmethod
    def of_equal_epochs(cls, steps: int, steps_per_epoch: int) -> "Length":
        """Return the length of a job whose epochs are equal."""
        return cls(steps, (steps_per_epoch,))

    def epoch_of(self, count: Any) -> Array:
        """Return the epoch, from 0, of the update after ``count`` ones."""
        ends = list(self.epoch_ends)
        last = ends[-1] - (ends[-2] if len(ends) > 1 else 0)
        within = jnp.searchsorted(jnp.asarray(ends, jnp.int32), jnp.asarray(count, jnp.int32), side="right")
        beyond = (jnp.asarray(count, jnp.int32) - ends[-1]) // last
        return jnp.where(count < ends[-1], within.astype(jnp.int32), len(ends) + beyond)


def constant(peak: float, length: Length, *, warmup_steps: int = 0) -> optax.Schedule:
    """``η`` after a linear warm-up from 0."""
    del length
    return optax.warmup_constant_schedule(0.0, peak, warmup_steps) if warmup_steps else optax.constant_schedule(peak)


def cosine(peak: float, length: Length, *, warmup_steps: int = 0, end: float = 0.0) -> optax.Schedule:
    """Half a cosine from ``η`` to ``end · η`` (Loshchilov & Hutter 2017, equation 5, without restarts)."""
    _require("end", end, end >= 0, "0 or more")
    after = optax.cosine_decay_schedule(peak, max(length.steps - warmup_steps, 1), end)
    return _warmed_up(after, peak, warmup_steps)


def linear(peak: float, length: Length, *, warmup_steps: int = 0, end: float = 0.0) -> optax.Schedule:
    """A line from ``η`` to ``end · η`` at the last update."""
    _require("end", end, end >= 0, "0 or more")
    after = optax.linear_schedule(peak, end * peak, max(length.steps - warmup_steps, 1))
    return _warmed_up(after, peak, warmup_steps)


def inverse_sqrt(peak: float, length: Length, *, warmup_steps: int = 4000) -> optax.Schedule:
    """``η √(w / n)`` after a linear warm-up of ``w`` updates (Vaswani et al. 2017, section 5.3)."""
    del length
    _require("warmup_steps", warmup_steps, warmup_steps >= 1, "1 or more")

    def rate(count: Any) -> Any:
        n = jnp.maximum(count, 1) / warmup_steps
        return peak * jnp.minimum(n, 1 / jnp.sqrt(n))

    return rate


def one_cycle(
    peak: float, length: Length, *, pct_start: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
) -> optax.Schedule:
    """Cosine from ``η / div_factor`` up to ``η`` and down again (Smith & Topin 2018)."""
    _require("pct_start", pct_start, 0 < pct_start < 1, "between 0 and 1")
    _require("div_factor", div_factor, div_factor > 0, "positive")
    _require("final_div_factor", final_div_factor, final_div_factor > 0, "positive")
    return optax.cosine_onecycle_schedule(length.steps, peak, pct_start, div_factor, final_div_factor)


def piecewise(peak: float, length: Length, *, factors: str) -> optax.Schedule:
    """``η`` times the factor of each boundary passed, ``factors="1000:0.5/2000:0.1"``."""
    try:
        pairs = [part.split(":") for part in str(factors).split("/")]
        scales = {int(step): float(factor) for step, factor in pairs}
    except ValueError:
        raise ConfigError(
            f"`factors` of the piecewise schedule must look like 1000:0.5/2000:0.1, not {factors!r}"
        ) from None
    if len(scales) < len(pairs):
        raise ConfigError(f"`factors` of the piecewise schedule has a step twice: {factors}")
    _require("factors", factors, min(scales) >= 1, "of steps from 1 on")
    _require("factors", factors, all(0 <= scale < math.inf for scale in scales.values()), "0 or more at every step")
    if max(scales) >= length.steps:
        raise ConfigError(f"the piecewise schedule changes at step {max(scales)}: the job has only {length.steps}")
    return optax.piecewise_constant_schedule(peak, scales)


def exponential(peak: float, length: Length, *, factor: float, every: int = 1000) -> optax.Schedule:
    """``η · factor^(n / every)``."""
    del length
    _require("factor", factor, factor > 0, "positive")
    _require("every", every, every >= 1, "1 or more")
    return optax.exponential_decay(peak, every, factor)


def epochs(peak: float, length: Length, *, divisor: float = 2.0, after: int = 0) -> optax.Schedule:
    """``η / divisor^max(e + 1 - after, 0)`` in epoch e, counted from 0 (Zaremba et al. 2014, section 4.1)."""
    _require("divisor", divisor, divisor > 0, "positive")

    def rate(count: Any) -> Any:
        decays = jnp.maximum(length.epoch_of(count) + 1 - after, 0)
        return peak * jnp.exp(-math.log(divisor) * decays.astype(jnp.float32))

    return rate


def _warmed_up(after: optax.Schedule, peak: float, warmup_steps: int) -> optax.Schedule:
    if not warmup_steps:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), after], [warmup_steps])


def _require(name: str, value: Any, possible: bool, what: str) -> None:
    if not possible:
        raise ConfigError(f"`{name}` of a schedule must be {what}, not {value}")
