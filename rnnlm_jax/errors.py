"""The error that a person reads: one line, what is wrong and what to do about it; and warnings."""

import sys


class UserError(ValueError):
    """Something the caller can mend: a missing file, an impossible size, a checkpoint that does not fit.

    The message is one line that says what is wrong and what to do. The command line prints it alone, without a
    traceback, and exits with code 2.
    """


def warn(message: str) -> None:
    """Tell in one line, on standard error, of what went wrong and was mended."""
    print(f"rnnlm-jax: warning: {' '.join(message.split())}", file=sys.stderr)
