"""The learning rate of a job: a schedule of the step, by name, and decay on a plateau of the validation loss."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.training import plateau, schedules
from rnnlm_jax.training.plateau import Plateau
from rnnlm_jax.training.schedules import Length

#: Number of updates whose rates are computed together.
BLOCK = 1024


class LearningRate(NamedTuple):
    """The learning rate η of every update: ``schedule(n)``, times the scale of the plateau rule if there is one."""

    schedule: optax.Schedule
    plateau: Plateau | None = None

    def at(self, count: int) -> float:
        """Return the schedule's rate of the update after ``count`` ones.

        Rates are computed on the device in blocks: one by one, each would wait for the steps that are dispatched.
        """
        block, within = divmod(count, BLOCK)
        return float(_rates_of_block(self.schedule, block)[within])


@functools.lru_cache(maxsize=4)
def _rates_of_block(schedule: optax.Schedule, block: int) -> Float[np.ndarray, " N"]:
    return rates(schedule, np.arange(block * BLOCK, (block + 1) * BLOCK))


def rates(schedule: optax.Schedule, counts: Int[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Return a schedule's rate after each number of updates."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        first = schedule(0)
        if isinstance(first, int | float):  # a constant, which need not be rounded
            return np.full(counts.shape, float(first))
        return np.asarray(jax.vmap(schedule)(jnp.asarray(counts, jnp.int32)), np.float64)


class Kind(NamedTuple):
    """A learning rate that can be chosen by name."""

    make: Callable[..., optax.Schedule | Plateau]
    """``(peak, length, **options) -> Schedule``; for a plateau ``(**options) -> Plateau``."""
    spans_job: bool = False
    """Whether the rate of a step depends on the job's length, which then cannot change when a run is resumed."""
    is_plateau: bool = False


KINDS: dict[str, Kind] = {
    "constant": Kind(schedules.constant),
    "cosine": Kind(schedules.cosine, spans_job=True),
    "linear": Kind(schedules.linear, spans_job=True),
    "inverse-sqrt": Kind(schedules.inverse_sqrt),
    "one-cycle": Kind(schedules.one_cycle, spans_job=True),
    "piecewise": Kind(schedules.piecewise),
    "exponential": Kind(schedules.exponential),
    "epochs": Kind(schedules.epochs),
    "plateau": Kind(plateau.on_plateau, is_plateau=True),
    "new-bob": Kind(plateau.new_bob, is_plateau=True),
}


def make_learning_rate(name: str, peak: float, length: Length, **options: Any) -> LearningRate:
    """Return the learning rate of that name.

    Args:
        name: one of ``KINDS``.
        peak: the learning rate η that the schedule multiplies.
        length: length of the job.
        options: options of the schedule, checked against its signature. A plateau also has ``warmup_steps``.

    Raises:
        ConfigError: for an unknown name or option, a missing option, an impossible value, or a schedule that is longer
            than the job.
    """
    kind = find_kind(name)
    known = schedule_options(name)
    for option in options:
        if option not in known:
            raise ConfigError(f"schedule {name!r} has no option {option!r}: its options are {', '.join(known)}")
    missing = [option for option, default in known.items() if default is inspect.Parameter.empty]
    for option in missing:
        if option not in options:
            raise ConfigError(f"schedule {name!r} needs its option {option!r}: give it in `schedule_options`")
    warmup = options.get("warmup_steps", known.get("warmup_steps", 0))
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        raise ConfigError(f"`warmup_steps` must be a whole number of steps, 0 or more, not {warmup!r}")
    if warmup > length.steps:
        raise ConfigError(f"a warm-up of {warmup} steps is longer than the job, which has {length.steps} steps")
    _check_types(name, kind, options)
    try:
        if not kind.is_plateau:
            made: Any = kind.make(peak, length, **options)
            return LearningRate(made)
        rule: Any = kind.make(**{option: value for option, value in options.items() if option != "warmup_steps"})
        return LearningRate(schedules.constant(peak, length, warmup_steps=warmup), rule)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"schedule {name!r} cannot be made with these options: {error}") from error


def _check_types(name: str, kind: Kind, options: dict[str, Any]) -> None:
    """Check that options which are numbers are finite, and whole where the schedule takes a whole number.

    Raises:
        ConfigError: naming the first that is not.
    """
    hints = get_type_hints(kind.make)
    for option, value in options.items():
        hint = hints.get(option)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if hint in (int, float) and not (is_number and (hint is float or isinstance(value, int))):
            wanted = "a whole number" if hint is int else "a number"
            raise ConfigError(f"`{option}` of the schedule {name!r} must be {wanted}, not {value!r}")


def find_kind(name: str) -> Kind:
    """Return the kind of learning rate of a name.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in KINDS:
        raise ConfigError(f"unknown `schedule` {name!r}: choose one of {', '.join(KINDS)}")
    return KINDS[name]


def schedule_options(name: str) -> dict[str, Any]:
    """Return the options of a schedule with their defaults; ``inspect.Parameter.empty`` for those without one."""
    kind = KINDS[name]
    parameters = inspect.signature(kind.make).parameters.values()
    own = {p.name: p.default for p in parameters if kind.is_plateau or p.kind is p.KEYWORD_ONLY}
    return own | ({"warmup_steps": 0} if kind.is_plateau else {})
