"""Check and change a configuration."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from rnnlm_jax.config.experiment import Config
from rnnlm_jax.errors import ConfigError

#: Fields whose numbers must be above zero, and those that may also be zero, by group.
_POSITIVE = (
    ("data", ("min_count", "max_vocabulary", "batch_size", "bptt")),
    ("model", ("hidden_size", "last_hidden_size", "layers", "embedding_size", "init_scale")),
    ("optimizer", ("learning_rate", "clip_norm", "accumulate")),
    ("training", ("epochs", "steps", "valid_streams", "early_stop", "log_every", "keep_last", "max_bad_steps")),
    ("training", ("log_spectrum",)),
)
_NOT_NEGATIVE = (
    ("optimizer", ("weight_decay",)),
    ("training", ("seed",)),
    ("data", ("input_workers",)),
)
#: Fields that are lengths of array axes, which XLA counts in 32 bits.
_SIZES = (("data", ("batch_size", "bptt")), ("model", ("hidden_size", "last_hidden_size", "layers", "embedding_size")))


def check_config(config: Config) -> Config:
    """Check the type and range of every value, and return ``config``.

    Raises:
        ConfigError: naming the first field whose value is not possible.
    """
    for group in dataclasses.fields(config):
        part = getattr(config, group.name)
        if type(part) is not group.default_factory:
            raise ConfigError(f"the {group.name} part of a configuration cannot be a {type(part).__name__}")
        hints = typing.get_type_hints(type(part))
        for spec in dataclasses.fields(part):
            choices, value = spec.metadata["choices"], getattr(part, spec.name)
            if not _has_type(value, hints[spec.name]):
                raise ConfigError(f"`{spec.name}` cannot be {value!r}: it must be {_describe_type(hints[spec.name])}")
            if choices and value not in choices:
                raise ConfigError(f"`{spec.name}` must be one of {', '.join(choices)}, not {value}")
    for name, value in _values(config, _POSITIVE):
        if not 0 < value < math.inf:
            raise ConfigError(f"`{name}` must be a positive number, not {value}")
    for name, value in _values(config, _NOT_NEGATIVE):
        if not 0 <= value < math.inf:
            raise ConfigError(f"`{name}` must be 0 or more, not {value}")
    for name, value in _values(config, _SIZES):
        if value >= 2**31:
            raise ConfigError(f"`{name}` must be below 2^31, not {value}")
    if config.training.seed >= 2**32:
        raise ConfigError(f"`seed` must be below 2^32, not {config.training.seed}")
    watchdog = config.training.watchdog
    if watchdog not in (None, "auto") and not (isinstance(watchdog, int | float) and 0 < watchdog < math.inf):
        raise ConfigError(f"`watchdog` must be a positive number of seconds, auto or none, not {watchdog}")
    chunk = config.model.remat_chunk
    if chunk is not None and chunk != "sqrt" and not (isinstance(chunk, int) and chunk > 0):
        raise ConfigError(f"`remat_chunk` must be a positive number of steps or sqrt, not {chunk}")
    return config


def _values(config: Config, names: tuple[tuple[str, tuple[str, ...]], ...]) -> Iterator[tuple[str, float]]:
    """Yield the names and values of fields, given by group, but for those that are None."""
    for group, members in names:
        for name in members:
            if (value := getattr(getattr(config, group), name)) is not None:
                yield name, value


def _has_type(value: Any, hint: Any) -> bool:
    """Return whether a value has a field's type; whole numbers are allowed for floats."""
    members = _union_members(hint)
    if isinstance(value, bool):
        return bool in members
    return isinstance(value, members) or (float in members and isinstance(value, int))


def _union_members(hint: Any) -> tuple[type, ...]:
    if typing.get_origin(hint) is tuple:
        return (tuple,)
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", tuple: "name=value pairs"}


def _describe_type(hint: Any) -> str:
    return " or ".join(_NOUNS.get(member, "none") for member in _union_members(hint))


def replace(config: Config, **changes: Mapping[str, Any]) -> Config:
    """Return a copy with some fields changed: ``replace(config, model={"layers": 2})``."""
    return dataclasses.replace(
        config, **{group: dataclasses.replace(getattr(config, group), **dict(new)) for group, new in changes.items()}
    )
