"""The progress bar of long work: rate and time left, quiet in log files."""

import sys

from tqdm import tqdm

#: Seconds between two lines where no terminal is watching.
LOG_INTERVAL = 30.0


def token_bar(description: str, total: int | None, initial: int = 0, disable: bool = False, unit: str = "tok") -> tqdm:
    """A bar that counts tokens, or another ``unit``, on standard error; their ``total`` may not be known yet."""
    watched = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=initial,
        unit=unit,
        unit_scale=True,
        desc=description,
        disable=disable,
        leave=False,
        mininterval=0.2 if watched else LOG_INTERVAL,
        maxinterval=10.0 if watched else 2 * LOG_INTERVAL,
    )
