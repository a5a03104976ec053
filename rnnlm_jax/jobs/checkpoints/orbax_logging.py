"""Orbax tells of an error in many ways; here it is told once, in one line, by whoever called."""

import logging
import sys
from typing import Any


def hush_orbax() -> None:
    """Keep Orbax from logging a traceback of whatever it raises, and from one error that nobody can catch.

    When one write of a checkpoint fails, Orbax closes its event loop while the others are still under way, and each of
    them would print a traceback from a thread of its own as it reports to that loop.
    """
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    previous = sys.unraisablehook
    if getattr(previous, "drops_late_callbacks", False):
        return

    def hook(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == "Event loop is closed":
            return
        previous(unraisable)

    hook.drops_late_callbacks = True  # pyright: ignore[reportFunctionMemberAccess]
    sys.unraisablehook = hook


def hush_other_parts() -> None:
    """After a failed save or restore: what its other files came to is no news, but would be logged."""
    logging.getLogger("asyncio").addFilter(_was_awaited)  # once, however often


def _was_awaited(record: logging.LogRecord) -> bool:
    """Whether a message of asyncio is not about an error that nobody waited for."""
    return "exception was never retrieved" not in record.getMessage()


def first_line(error: BaseException) -> str:
    """An error of another library in one short line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
