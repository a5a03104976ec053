"""How often something happens during training: every so many steps, epochs or minutes."""

import re
from dataclasses import dataclass

from rnnlm_jax.errors import ConfigError

_FORM = re.compile(r"\s*(?P<count>\d+)?\s*(?P<unit>step|epoch|minute)?s?\s*")


@dataclass(frozen=True)
class Every:
    """A period of training."""

    count: int
    unit: str
    """"step", "epoch" or "minute"."""

    def __str__(self) -> str:
        """Return the text that ``parse_period`` reads."""
        return f"{self.count} {self.unit}{'s' if self.count > 1 else ''}"


def parse_period(name: str, value: int | str, units: tuple[str, ...]) -> Every:
    """Return the period that a number of steps, or a text such as ``"500 steps"`` or ``"10 minutes"``, states.

    Args:
        name: name of the option, for errors.
        value: the number or text.
        units: allowed units.

    Raises:
        ConfigError: if it is neither, is not positive, or has another unit.
    """
    found = _FORM.fullmatch(str(value))
    period = None
    if found is not None and (found["count"] or found["unit"]):
        period = Every(int(found["count"] or 1), found["unit"] or "step")
    if period is None or period.count < 1 or period.unit not in units:
        kinds = " or ".join(f"'2 {unit}s'" for unit in units)
        raise ConfigError(f"`{name}` must be a positive number of steps, or {kinds}, not {value!r}")
    return period
