"""A command as one of several processes: how it joins them, who prints, and how it leaves."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

import jax

from rnnlm_jax.cli.failures import describe, print_error
from rnnlm_jax.jobs import distributed
from rnnlm_jax.jobs.liveness import Timeouts
from rnnlm_jax.jobs.stopping import STOPPED, Stopped, StopRequest, leave_at_once

#: In the message of any error, what says that it comes from a connection to another process.
_CONNECTION = ("Gloo ", "coordination service", "NCCL")


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """How a process finds the others of its job."""
    group = parser.add_argument_group("job options", "Several processes, one a host, that train one model together.")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where the first process is found by the others")
    group.add_argument("--processes", type=int, metavar="N", help="how many processes the job has")
    group.add_argument("--process-id", type=int, metavar="I", help="which of them this is, from 0")
    group.add_argument(
        "--distributed",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="join the job that jax finds, as on a TPU virtual machine; --no-distributed: train in this process alone "
        "(default: join what JAX_COORDINATOR_ADDRESS, Slurm, GKE or Kubernetes say in the environment)",
    )
    timeouts = Timeouts()
    for flag, default, about in (
        ("--start-timeout", timeouts.start_timeout, "until all processes of the job have come; then exit code 2"),
        (
            "--partner-timeout",
            timeouts.partner_timeout,
            "until a silent process is taken for lost; then exit code 75",
        ),
    ):
        group.add_argument(
            flag, type=_seconds, default=default, metavar="SECONDS", help=f"{about} (default: {default:g})"
        )


def _seconds(text: str) -> float:
    """A time of one second or more, for argparse."""
    value = float(text)
    if not 1 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a time from 1 to 1,000,000 seconds, not {text}")
    return value


@contextlib.contextmanager
def joined(arguments: argparse.Namespace, stop: StopRequest) -> Iterator[None]:
    """Join the job that the options or the environment speak of, if any; only its first process prints.

    A process that fails alone leaves at once, so that the others notice and stop too: what they are waiting for would
    never come. What fails or stops in all alike is raised as it is. ``stop`` is heeded by all of them together.
    """
    given = arguments.coordinator, arguments.processes, arguments.process_id
    timeouts = Timeouts(arguments.start_timeout, arguments.partner_timeout)
    job = distributed.join_job(*given, distributed=arguments.distributed, timeouts=timeouts, stop=stop)
    if job is None:
        yield
        return
    agreed: Exception | None = None
    try:
        with _stdout_of_first():
            try:
                yield
            except (distributed.AgreedError, Stopped) as error:
                agreed = error
        job.leave()
    except BaseException as error:
        _leave(error, job)
    if agreed is not None:
        raise agreed


@contextlib.contextmanager
def _stdout_of_first() -> Iterator[None]:
    """Standard output is the first process's alone; what libraries say of their connections goes to standard error."""
    sys.stdout.flush()
    first = distributed.is_primary()
    ours = os.dup(1)
    os.dup2(2, 1)
    try:
        where, like = ours if first else os.devnull, {"encoding": sys.stdout.encoding, "errors": sys.stdout.errors}
        with open(where, "w", closefd=not first, **like) as out, contextlib.redirect_stdout(out):
            yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)


def _leave(error: BaseException, job: distributed.Job) -> NoReturn:
    """Say why, and end the process without waiting for the others."""
    where = f"process {jax.process_index()} of {jax.process_count()}: "
    if (reason := _cut_off(error)) is not None:
        code, what = STOPPED, f"another process of the job is gone ({reason}): run the job again with --resume"
    elif isinstance(error, KeyboardInterrupt):
        code, what = 130, "interrupted; the job goes on from its last checkpoint with --resume"
    else:
        code, what = describe(error)

    def say() -> None:
        print_error(error, f"{where}{what}")
        job.fail()

    leave_at_once(code, say)


def _cut_off(error: BaseException | None) -> str | None:
    """What a sum or a wait between processes failed with, if that is what an error comes from."""
    while error is not None:
        lines = str(error).splitlines()
        if "RESOURCE_EXHAUSTED" in str(error):  # its own memory
            return None
        if isinstance(error, jax.errors.JaxRuntimeError) or any(word in str(error) for word in _CONNECTION):
            return lines[0][:200] if lines else type(error).__name__
        error = error.__cause__ or error.__context__
    return None
