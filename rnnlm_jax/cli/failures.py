"""What an error means at the command line: an exit code, and one line that says what to do."""

import contextlib
import os
import sys
import traceback

from rnnlm_jax.errors import UserError

#: Exit codes: of an error that the user can mend, and of one that is ours (EX_SOFTWARE of sysexits.h).
USER_ERROR, BUG = 2, 70

#: Set to anything but 0, every error shows where it was raised.
TRACEBACK_VARIABLE = "RNNLM_JAX_TRACEBACK"

#: How jax says that a setting of its own forbids something, and the setting.
_FORBIDDEN = {
    "Disallowed host-to-device transfer": "JAX_TRANSFER_GUARD",
    "Disallowed device-to-host transfer": "JAX_TRANSFER_GUARD",
    "Disallowed device-to-device transfer": "JAX_TRANSFER_GUARD",
    "rank_promotion": "JAX_NUMPY_RANK_PROMOTION",
    "jax_numpy_dtype_promotion=strict": "JAX_NUMPY_DTYPE_PROMOTION",
    "invalid value (nan) encountered": "JAX_DEBUG_NANS",
    "invalid value (inf) encountered": "JAX_DEBUG_INFS",
}


def report(error: BaseException) -> int:
    """Print what went wrong as one line on standard error, with a traceback before it if asked to; the exit code."""
    code, message = describe(error)
    print_error(error, message)
    return code


def print_error(error: BaseException, message: str) -> None:
    """Print a message about an error as one line on standard error, with a traceback before it if asked to."""
    if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error)
    print(f"rnnlm-jax: error: {' '.join(message.split())}", file=sys.stderr)


def describe(error: BaseException) -> tuple[int, str]:
    """The exit code of an error and its message."""
    text = str(error)
    if isinstance(error, UserError):
        return USER_ERROR, text
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return USER_ERROR, (
            f"out of memory ({_first_line(text) or type(error).__name__}): choose smaller sizes, such as --batch-size, "
            "--bptt or --hidden-size, or a machine with more"
        )
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return USER_ERROR, f"{place}{error.strerror or error}; check the path, its permissions and the space left"
    if setting := next((name for words, name in _FORBIDDEN.items() if words in text), None):
        return USER_ERROR, f"{setting} forbids what this command does ({_first_line(text)}): unset it, or jax's option"
    if reason := _no_device():
        told = f"JAX_PLATFORMS={platforms}" if (platforms := os.environ.get("JAX_PLATFORMS")) else "its own choice"
        return USER_ERROR, f"jax finds no device by {told} ({reason}): set JAX_PLATFORMS to what is here, such as cpu"
    what = ": ".join(filter(None, (type(error).__name__, _first_line(text))))
    return BUG, f"this is a bug in rnnlm-jax ({what}): please report it with what {TRACEBACK_VARIABLE}=1 shows"


def _no_device() -> str | None:
    """Why jax cannot start, if it cannot."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    try:
        jax.devices()
    except Exception as error:  # of several kinds, assertions among them
        return _first_line(str(error)) or "it is not installed, or has no device"
    return None


def _first_line(text: str) -> str:
    with contextlib.suppress(StopIteration):
        return next(line.strip() for line in text.splitlines() if line.strip())[:300]
    return ""
