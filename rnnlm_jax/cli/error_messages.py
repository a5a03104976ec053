"""The command line's view of an error: an exit code, and a message of one line that says what to do."""

import contextlib
import dataclasses
import os
import re
import sys
import traceback
import typing
from collections.abc import Iterator, Mapping

from rnnlm_jax.config import Config, flag_of
from rnnlm_jax.errors import UserError

#: Exit codes: of an error that the user can correct, and of a bug (EX_SOFTWARE of sysexits.h).
USER_ERROR, BUG = 2, 70

#: Environment variable: unless it is 0 or empty, every error is printed with its traceback.
TRACEBACK_VARIABLE = "RNNLM_JAX_TRACEBACK"

#: Part of jax's message when one of its settings forbids an operation, and the environment variable of the setting.
_FORBIDDEN = {
    "Disallowed host-to-device transfer": "JAX_TRANSFER_GUARD",
    "Disallowed device-to-host transfer": "JAX_TRANSFER_GUARD",
    "Disallowed device-to-device transfer": "JAX_TRANSFER_GUARD",
    "rank_promotion": "JAX_NUMPY_RANK_PROMOTION",
    "jax_numpy_dtype_promotion=strict": "JAX_NUMPY_DTYPE_PROMOTION",
    "invalid value (nan) encountered": "JAX_DEBUG_NANS",
    "invalid value (inf) encountered": "JAX_DEBUG_INFS",
}

#: Name of each configuration field -> its option.
CONFIG_OPTIONS = {
    spec.name: flag_of(spec) for kind in typing.get_type_hints(Config).values() for spec in dataclasses.fields(kind)
}

_BACKQUOTED_NAME = re.compile(r"`([A-Za-z_]\w*)`")


def with_option_names(message: str, options: Mapping[str, str]) -> str:
    """Replace the Python names of arguments in a library's message by command-line options.

    Args:
        message: names arguments in backquotes, as in ```hidden_size` must be positive``.
        options: option of each argument of the running command, by its Python name.

    Returns:
        The message with each backquoted configuration field, and else each backquoted argument of the command, as its
        option: ``--hidden-size must be positive``. Other backquoted names stay as they are.
    """
    known = {**options, **CONFIG_OPTIONS}
    return _BACKQUOTED_NAME.sub(lambda found: known.get(found[1], found[0]), message)


@contextlib.contextmanager
def errors_with_option_names(options: Mapping[str, str]) -> Iterator[None]:
    """Within, replace Python names by options in the message of any ``UserError`` that passes."""
    try:
        yield
    except UserError as error:
        error.args = (with_option_names(str(error), options),)
        raise


def report(error: BaseException) -> int:
    """Print an error as one line on standard error, and return its exit code."""
    code, message = describe(error)
    print_error(error, message)
    return code


def print_error(error: BaseException, message: str) -> None:
    """Print a message as one line on standard error, after the traceback if ``RNNLM_JAX_TRACEBACK`` is set."""
    if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error)
    print(f"rnnlm-jax: error: {' '.join(message.split())}", file=sys.stderr)


def describe(error: BaseException) -> tuple[int, str]:
    """Return the exit code of an error and its message."""
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
        chosen = f"with JAX_PLATFORMS={value}" if (value := os.environ.get("JAX_PLATFORMS")) else "of its own choice"
        return (
            USER_ERROR,
            f"jax finds no device {chosen} ({reason}): set JAX_PLATFORMS to one that exists, such as cpu",
        )
    what = ": ".join(filter(None, (type(error).__name__, _first_line(text))))
    return BUG, f"this is a bug in rnnlm-jax ({what}): please report it with the output of {TRACEBACK_VARIABLE}=1"


def _no_device() -> str | None:
    """Return the reason why jax cannot start; None if it can."""
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
