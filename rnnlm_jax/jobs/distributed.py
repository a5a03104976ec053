"""A job of several processes, one a host: how it comes together, what it agrees on, and how it comes apart.

``jax.distributed`` does the work. What is here decides whether there is such a job at all, lets the first process speak
for all, and sees to it that no process waits for one that has failed.
"""

import errno
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.partners import Hub, Limits, Member, Relay, free_local_port, join_partners
from rnnlm_jax.jobs.stopping import STOPPED, StopRequest, leave_at_once

Result = TypeVar("Result")

#: The job that this process has joined, also once it has left: what it may print does not change.
_joined: list["Job"] = []

#: Seconds until a process 0 whose port is taken gives up.
TAKEN_SECONDS = 5.0

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")


class AgreedError(UserError):
    """An error that every process of a job raises at the same place, so that all can leave in order."""


def detected(environment: Mapping[str, str] = os.environ) -> str | None:
    """What in the environment says that this is one of several processes; None if nothing does.

    That is ``JAX_COORDINATOR_ADDRESS``; a Slurm step of several tasks; the worker list of a TPU slice on GKE, or that
    of several slices; an indexed Kubernetes job. A TPU virtual machine says it to ``jax`` alone: ask for it there.
    """
    if environment.get("JAX_COORDINATOR_ADDRESS"):
        return "JAX_COORDINATOR_ADDRESS"
    tasks = environment.get("SLURM_NTASKS", "1")
    if all(name in environment for name in _SLURM) and tasks.isdecimal() and int(tasks) > 1:
        return "Slurm"
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES") or ""
    if "," in hosts or environment.get("MEGASCALE_COORDINATOR_ADDRESS"):
        return "TPU"
    if "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment:
        return "Kubernetes"
    return None


class Job:
    """A job of several processes that this one has joined."""

    def __init__(self, member: Member, hub: Hub | None) -> None:
        """``hub``: in process 0 alone."""
        self._member, self._hub = member, hub

    def ask_to_stop(self, signal_name: str) -> None:
        """Have all processes stop together, as the ``listener`` of ``init`` is told."""
        self._member.ask_to_stop(signal_name)

    def leave(self) -> None:
        """Return when all processes have come here, and end what connects them; nothing is computed afterwards."""
        jax.distributed.shutdown()
        self._member.leave()

    def fail(self) -> None:
        """Tell the other processes that this one ends alone."""
        self._member.fail()
        self.farewell()

    def farewell(self) -> None:
        """In process 0, wait a little until the others have heard of the end."""
        if self._hub is not None:
            self._hub.farewell()


def init(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    join: bool | None = None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    stop: StopRequest | None = None,
) -> Job | None:
    """Join the other processes of a job, if there is one; before anything is computed.

    Args:
        coordinator: HOST:PORT of the first process, where the others find it; with the next two, for every process.
        processes: how many there are.
        process_id: which of them this is, from 0.
        join: True: jax is to find out by itself, as it can on a TPU virtual machine; False: do not join, whatever the
            environment says; None: join what is ``detected``.
        limits: on waiting for other processes.
        stop: what this process's signals ask for, and what training heeds.

    Returns:
        the job; None if this process is alone. Whoever is done must ``leave`` it. If another process is lost before
        that, this one ends with one line on standard error and exit code 75.

    Raises:
        UserError: if the three arguments are not all there or cannot be, or there is nobody to join.
    """
    given = {"--coordinator": coordinator, "--processes": processes, "--process-id": process_id}
    told = [name for name, value in given.items() if value is not None]
    devices = None
    if join is False:
        if told:
            raise UserError(f"{told[0]} joins a job and --no-distributed does not: leave one of them out")
        return None
    if told:
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise UserError(f"{told[0]} needs {' and '.join(missing)} beside it: give all three, to every process")
    else:
        how = detected()
        if how is None and not join:
            return None
        if how == "JAX_COORDINATOR_ADDRESS":
            coordinator = os.environ[how]
            processes, process_id = _number("JAX_NUM_PROCESSES"), _number("JAX_PROCESS_ID")
        if None in (coordinator, processes, process_id):
            coordinator, processes, process_id, devices = _found_by_jax(coordinator, processes, process_id, limits)
    _check(coordinator, processes, process_id)
    if coordinator is None or processes is None or process_id is None or processes == 1:
        return None
    return _join(coordinator, processes, process_id, devices, limits, StopRequest() if stop is None else stop)


def _found_by_jax(
    coordinator: str | None, processes: int | None, process_id: int | None, limits: Limits
) -> tuple[str, int, int, Any]:
    """What is not given, as jax finds it in the environment, and the devices that this process may use."""
    from jax._src.clusters import ClusterEnv

    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(
            coordinator, processes, process_id, None, None, int(limits.start_seconds)
        )
    except (ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        raise _cannot_join(_line(error)) from error
    address, count, number, devices = found
    if address is None or count is None or number is None:
        raise _cannot_join("nothing says where the first one is, how many there are, and which this is")
    return address, count, number, devices


def _join(coordinator: str, processes: int, process_id: int, devices: Any, limits: Limits, stop: StopRequest) -> Job:
    host, _, port = coordinator.rpartition(":")
    host, port, hub, service_port = host.strip("[]"), int(port), None, free_local_port()
    if process_id == 0:
        try:
            hub = Hub(port, processes, service_port, limits)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _cannot_join(f"port {port}: {error.strerror or error}") from error
            # If it is another process 0 that listens there, it says so to all.
            limits = limits._replace(start_seconds=min(limits.start_seconds, TAKEN_SECONDS))

    def lost(process: int, reason: str) -> NoReturn:
        what = f"another process of the job is gone (process {process}: {reason}): run the job again with --resume"

        def say() -> None:
            stop.say(f"error: process {process_id} of {processes}: {what}")
            if hub is not None:
                hub.farewell()

        leave_at_once(STOPPED, say)

    member = join_partners(host, port, process_id, processes, limits, stop, lost)
    # The member sees first that a process is lost: jax's client would abort this one, with a stack.
    patience = int(2 * limits.silent_seconds) + 60
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    try:
        jax.distributed.initialize(
            f"127.0.0.1:{service_port}" if hub is not None else Relay(host, port).address,
            processes,
            process_id,
            local_device_ids=devices,
            coordinator_bind_address=f"127.0.0.1:{service_port}",
            initialization_timeout=int(limits.start_seconds) + 60,
            heartbeat_timeout_seconds=patience,
            shutdown_timeout_seconds=patience,
        )
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise _cannot_join(_line(error)) from error
    job = stop.job = Job(member, hub)
    _joined.append(job)
    return job


def _cannot_join(reason: str) -> UserError:
    return UserError(
        f"cannot join the other processes ({reason}): give --coordinator HOST:PORT --processes N --process-id I "
        "to every one of them, or --no-distributed to train in this one alone"
    )


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _number(name: str) -> int | None:
    value = os.environ.get(name)
    if value is not None and not value.isdecimal():
        raise UserError(f"{name} must be a whole number, not {value!r}: correct it, or add --no-distributed")
    return None if value is None else int(value)


def _check(coordinator: str | None, processes: int | None, process_id: int | None) -> None:
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UserError(f"--coordinator must be HOST:PORT, not {coordinator!r}")
    if processes is not None and processes < 1:
        raise UserError(f"--processes must be 1 or more, not {processes}")
    if process_id is not None and not 0 <= process_id < (processes or process_id + 1):
        raise UserError(f"--process-id must be from 0 to {(processes or 1) - 1}, not {process_id}")


def several() -> bool:
    """Whether this is one of several processes."""
    return bool(_joined or jax.distributed.is_initialized()) and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process speaks for all: the only one, or the first of several."""
    return not several() or jax.process_index() == 0


def from_first(text: str) -> str:
    """The text of the first process, in every process; all must ask."""
    if not several():
        return text
    data = np.frombuffer(text.encode() + b"\0", np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(data.size)))
    mine = data if is_first() else np.zeros(length, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes()[:-1].decode()


def any_process(flag: bool) -> bool:
    """Whether the flag is true in any process; all must ask."""
    return flag if not several() else bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def on_first(action: Callable[[], None]) -> None:
    """Do something in the first process alone; the others wait for it.

    Raises:
        AgreedError: in every process, if the first one's action raised a ``UserError`` or ``OSError``.
    """
    if not several():
        action()
        return
    complaint = ""
    if is_first():
        try:
            action()
        except (UserError, OSError) as error:
            complaint = str(error)
    complaint = from_first(complaint)
    if complaint:
        raise AgreedError(complaint)


def in_all(action: Callable[[], Result]) -> Result:
    """Do something in every process, or fail in every one.

    Raises:
        AgreedError: in every process, if the action raised a ``UserError`` or ``OSError`` in any: its own, or one that
            says that another process has failed.
    """
    if not several():
        return action()
    result, complaint = None, ""
    try:
        result = action()
    except (UserError, OSError) as error:
        complaint = str(error)
    if any_process(bool(complaint)):
        raise AgreedError(complaint or "another process of this job has stopped: its own message says why")
    return result  # type: ignore[return-value]


def from_all(text: str) -> list[str]:
    """The text of every process, in the order of the processes, in every one; all must ask."""
    if not several():
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.int32(data.size))).tolist()
    padded = np.pad(data, (0, max(lengths) - data.size))
    texts = np.asarray(multihost_utils.process_allgather(padded))
    return [texts[k, :length].tobytes().decode() for k, length in enumerate(lengths)]


def require_same(values: Mapping[str, object]) -> None:
    """Check that all processes have the same values, which JSON must be able to hold.

    Raises:
        AgreedError: in every process, naming the first value in which any differs from the first process.
    """
    if not several():
        return
    first, *others = (json.loads(text) for text in from_all(json.dumps(values)))
    for process, other in enumerate(others, start=1):
        for name, value in first.items():
            if other.get(name) != value:
                raise AgreedError(
                    f"the processes of this job differ in {name} ({_shown(value)} in process 0, "
                    f"{_shown(other.get(name))} in process {process}): start them all alike"
                )


def _shown(value: object) -> str:
    """A value in a few characters: a digest need not be read to its end."""
    shown = str(value)
    return shown if len(shown) <= 40 else f"{shown[:12]}…"
