"""Training as one of several processes: joining the job, printing from one process only, and leaving after an error."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

import jax

from rnnlm_jax.cli.error_messages import describe, errors_with_option_names, print_error
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.jobs import distributed
from rnnlm_jax.jobs.liveness import Timeouts
from rnnlm_jax.jobs.stopping import STOPPED, Stopped, StopRequest, leave_at_once

#: Words in the message of an error that comes from a connection to another process.
_CONNECTION = ("Gloo ", "coordination service", "NCCL")


def add_job_options(parser: Parser) -> None:
    """Add the options by which a process finds the others of its job; all are advanced."""
    about = "Several processes, one per host, that train one model together." if parser.shows_advanced else None
    group = parser.add_argument_group("job options", about)
    advanced = parser.advanced
    group.add_argument("--coordinator", metavar="HOST:PORT", help=advanced("address of the first process"))
    group.add_argument("--processes", type=int, metavar="N", help=advanced("number of processes of the job"))
    group.add_argument("--process-id", type=int, metavar="I", help=advanced("number of this process, from 0"))
    group.add_argument(
        "--distributed",
        action=argparse.BooleanOptionalAction,
        default=None,
        help=advanced(
            "join the job that jax detects, as on a TPU virtual machine; --no-distributed: train in this process "
            "alone (default: join if JAX_COORDINATOR_ADDRESS, Slurm, GKE or Kubernetes variables are set)"
        ),
    )
    timeouts = Timeouts()
    for flag, default, about in (
        ("--start-timeout", timeouts.start_timeout, "time for all processes to start; then exit code 2"),
        (
            "--partner-timeout",
            timeouts.partner_timeout,
            "silence after which a process counts as lost; then exit code 75",
        ),
    ):
        about = advanced(f"{about} (default: {default:g})")
        group.add_argument(flag, type=_seconds, default=default, metavar="SECONDS", help=about)


def _seconds(text: str) -> float:
    """Return a time of one second or more, for argparse."""
    value = float(text)
    if not 1 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a time from 1 to 1,000,000 seconds, not {text}")
    return value


@contextlib.contextmanager
def joined(arguments: argparse.Namespace, stop: StopRequest) -> Iterator[None]:
    """Within, be part of the job that the options or the environment name, if any; only its first process prints.

    A process that fails alone ends at once, so that the others, which would wait for it for ever, notice and stop. An
    error or stop that all processes have in common is raised as usual.

    Args:
        arguments: the parsed options of ``add_job_options``.
        stop: the request to stop, which all processes act on together.
    """
    address = arguments.coordinator, arguments.processes, arguments.process_id
    timeouts = Timeouts(arguments.start_timeout, arguments.partner_timeout)
    job = distributed.join_job(*address, distributed=arguments.distributed, timeouts=timeouts, stop=stop)
    if job is None:
        yield
        return
    shared_error: Exception | None = None
    try:
        with _stdout_of_first_process():
            try:
                with errors_with_option_names(arguments.option_names):
                    yield
            except (distributed.AgreedError, Stopped) as error:
                shared_error = error
        job.leave()
    except BaseException as error:
        _end_process(error, job)
    if shared_error is not None:
        raise shared_error


@contextlib.contextmanager
def _stdout_of_first_process() -> Iterator[None]:
    """Give standard output to the first process only; messages of libraries on connections go to standard error."""
    sys.stdout.flush()
    first = distributed.is_primary()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        target, like = saved if first else os.devnull, {"encoding": sys.stdout.encoding, "errors": sys.stdout.errors}
        with open(target, "w", closefd=not first, **like) as out, contextlib.redirect_stdout(out):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _end_process(error: BaseException, job: distributed.Job) -> NoReturn:
    """Print the error, and end the process without waiting for the others."""
    where = f"process {jax.process_index()} of {jax.process_count()}: "
    if (reason := _lost_connection(error)) is not None:
        code, message = STOPPED, f"another process of the job is gone ({reason}): run the job again with --resume"
    elif isinstance(error, KeyboardInterrupt):
        code, message = 130, "interrupted; the job goes on from its last checkpoint with --resume"
    else:
        code, message = describe(error)

    def report() -> None:
        print_error(error, f"{where}{message}")
        job.fail()

    leave_at_once(code, report)


def _lost_connection(error: BaseException | None) -> str | None:
    """Return the message of the failed connection to another process that caused an error; None for other causes."""
    while error is not None:
        lines = str(error).splitlines()
        if "RESOURCE_EXHAUSTED" in str(error):  # its own memory
            return None
        if isinstance(error, jax.errors.JaxRuntimeError) or any(word in str(error) for word in _CONNECTION):
            return lines[0][:200] if lines else type(error).__name__
        error = error.__cause__ or error.__context__
    return None
