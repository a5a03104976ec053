"""Protocols for progress reports: what functions that read a text call while they work."""

from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """Function that is called with the number of tokens processed since its last call."""

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
