"""How long operations report what they have done."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receive the number of tokens (or n-grams) processed since the last call, as `tqdm.update` does."""

    def __call__(self, count: int, /) -> object:
        """Add `count` to what is done; the return value is ignored."""
        ...


def no_progress(count: int, /) -> None:
    """Ignore progress: the default."""
