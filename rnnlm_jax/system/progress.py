"""Progress of long work: the bar with rate and time left, and the functions that report to it."""

import sys
from contextlib import AbstractContextManager
from typing import Protocol

from tqdm import tqdm


class Progress(Protocol):
    """Function that is called with the number of tokens processed since its last call, as ``tqdm.update`` is."""

    def __call__(self, tokens: int, /) -> object:
        """Report progress; an exception raised here ends the computation."""
        ...


class ProgressBar(Protocol):
    """Progress bar, such as that of tqdm."""

    def update(self, n: int, /) -> object:
        """Advance the bar by ``n``."""
        ...


class MakeProgressBar(Protocol):
    """Function that makes a progress bar, to be used in a ``with`` statement."""

    def __call__(self, description: str, total: int, /) -> AbstractContextManager[ProgressBar]:
        """Return a bar.

        Args:
            description: name of the work.
            total: number of tokens to process; 0 if unknown.
        """
        ...


def no_progress(tokens: int, /) -> None:
    """Discard a progress report."""


#: Seconds between two lines where standard error is not a terminal.
LOG_INTERVAL = 30.0


def token_bar(
    description: str, total: int | None, initial: int = 0, *, disable: bool = False, unit: str = "tok"
) -> tqdm:
    """Return a progress bar on standard error; in a log file it is one line every 30 seconds.

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
