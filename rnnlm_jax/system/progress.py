"""The progress bar of long work: rate and time left; one line every 30 seconds in log files."""

import sys

from tqdm import tqdm

#: Seconds between two lines where standard error is not a terminal.
LOG_INTERVAL = 30.0


def token_bar(
    description: str, total: int | None, initial: int = 0, *, disable: bool = False, unit: str = "tok"
) -> tqdm:
    """Return a progress bar on standard error.

    Args:
        description: text before the bar.
        total: tokens in all; None if unknown.
        initial: tokens done already.
        disable: whether to show nothing.
        unit: what is counted, if not tokens.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=initial,
        unit=unit,
        unit_scale=True,
        desc=description,
        disable=disable,
        leave=False,
        mininterval=0.2 if terminal else LOG_INTERVAL,
        maxinterval=10.0 if terminal else 2 * LOG_INTERVAL,
    )
