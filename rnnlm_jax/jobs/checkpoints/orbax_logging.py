"""Report an error of Orbax once, as an exception: suppress the tracebacks that Orbax logs and prints besides."""

import contextlib
import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

#: Seconds after an error during which reads and writes that are still running may fail, too.
GRACE_SECONDS = 0.3

_lock = threading.Lock()
_active = 0
_previous_hook: Any = None


@contextlib.contextmanager
def quiet_orbax() -> Iterator[None]:
    """Suppress what Orbax logs and prints of its errors during the block; blocks may overlap, in any order.

    - Orbax logs a traceback of each error that it raises.
    - If one read or write fails, Orbax closes its event loop while the others are running. Each of these then prints a
      traceback when it reports to the closed loop, and asyncio logs that its exception was never retrieved. So after an
      error, the block ends ``GRACE_SECONDS`` later.
    """
    _start()
    try:
        yield
    except Exception as error:
        time.sleep(GRACE_SECONDS)
        cause: BaseException | None = error
        while cause is not None:
            traceback.clear_frames(cause.__traceback__)
            cause = cause.__cause__ or cause.__context__
        gc.collect()  # asyncio logs lost exceptions when their tasks are deleted
        raise
    finally:
        _stop()


def _start() -> None:
    global _active, _previous_hook
    with _lock:
        _active += 1
        if _active == 1:
            logging.getLogger("absl").addFilter(_is_not_of_orbax)
            logging.getLogger("asyncio").addFilter(_was_retrieved)
            _previous_hook, sys.unraisablehook = sys.unraisablehook, _ignore_closed_loop


def _stop() -> None:
    global _active
    with _lock:
        _active -= 1
        if _active == 0:
            logging.getLogger("absl").removeFilter(_is_not_of_orbax)
            logging.getLogger("asyncio").removeFilter(_was_retrieved)
            sys.unraisablehook = _previous_hook


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.CRITICAL or f"{os.sep}orbax{os.sep}" not in record.pathname


def _was_retrieved(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


def _ignore_closed_loop(unraisable: Any) -> None:
    if isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == "Event loop is closed":
        return
    _previous_hook(unraisable)


def first_line(error: BaseException) -> str:
    """Return the type and the first line of an exception's message, 200 characters at most."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
