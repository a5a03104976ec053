"""Errors that the caller can correct, each with a one-line message, and warnings."""

import sys


class UserError(ValueError):
    """Base class of the errors that the caller can correct.

    The message says what is wrong and what to do, in one line. It names arguments in backquotes, ```hidden_size```;
    the command line shows them as its options, ``--hidden-size``, without a traceback, and exits with code 2.
    """


class ArgumentError(UserError):
    """An argument of a function of this library has an impossible type, shape or value."""


class ConfigError(UserError):
    """A configuration, preset or option of the command line is impossible or contradicts another."""


class DataError(UserError):
    """A text, vocabulary, corpus, n-gram model or result file cannot be read, or does not fit."""


class CheckpointError(UserError):
    """A run folder, checkpoint or exported model is missing, damaged, or of another run."""


class WeightsError(UserError):
    """Weights of another library do not fit a cell or a model."""


class DeviceError(UserError):
    """A device, mesh, process, kernel or amount of memory is not available."""


class TrainingError(UserError):
    """Training cannot go on: losses or gradients are not finite, or parameters are not."""


def warn(message: str) -> None:
    """Print a one-line warning on standard error."""
    print(f"rnnlm-jax: warning: {' '.join(message.split())}", file=sys.stderr)
