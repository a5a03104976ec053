"""Jobs of several processes, one on each host: joining them, agreeing between them, and leaving them.

``jax.distributed`` connects the processes. This module decides whether there is a job to join, lets process 0, the
primary, speak for all, and makes sure that no process waits for one that has failed.
"""

import errno
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from rnnlm_jax.errors import ConfigError, DeviceError, UserError
from rnnlm_jax.jobs.liveness import Hub, Member, Relay, Timeouts, free_local_port, join_processes
from rnnlm_jax.jobs.stopping import STOPPED, StopRequest, leave_at_once

Result = TypeVar("Result")

#: The job that this process has joined; it stays here after the process has left the job.
_joined: list["Job"] = []

#: Seconds after which process 0 gives up if another process 0 has the job's port.
PORT_IN_USE_SECONDS = 5.0

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")


class AgreedError(UserError):
    """An error that every process of a job raises at the same point, so that all can leave the job in order."""


def detect_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return what in the environment shows that this is one of several processes; None if nothing does.

    It detects ``JAX_COORDINATOR_ADDRESS``; a Slurm step of several tasks; the worker list of a TPU slice on GKE, or
    of several slices; an indexed Kubernetes job. On TPU virtual machines only jax can detect the job: see ``join_job``.
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
    """A job of several processes that this process has joined."""

    def __init__(self, member: Member, hub: Hub | None) -> None:
        """Store the connections; ``hub`` is None except in process 0."""
        self._member, self._hub = member, hub

    def ask_to_stop(self, signal_name: str) -> None:
        """Ask all processes to stop together; the ``stop`` of ``join_job`` receives what they agree on."""
        self._member.ask_to_stop(signal_name)

    def leave(self) -> None:
        """Wait until all processes have called this, and disconnect; nothing may be computed afterwards."""
        jax.distributed.shutdown()
        self._member.leave()

    def fail(self) -> None:
        """Report to the other processes that this one ends because of an error."""
        self._member.fail()
        self.farewell()

    def farewell(self) -> None:
        """In process 0, wait a little until the other processes have read why the job ends."""
        if self._hub is not None:
            self._hub.farewell()


class _Place(NamedTuple):
    """The place of this process in a job."""

    coordinator: str
    processes: int
    process_id: int
    local_devices: Any = None
    """Indices of the devices that this process may use; None for all."""


def join_job(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    *,
    distributed: bool | None = None,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - immutable
    stop: StopRequest | None = None,
) -> Job | None:
    """Join the other processes of a job, if there is one; call this before anything is computed.

    Args:
        coordinator: HOST:PORT of process 0; all three arguments must be given together, in every process.
        processes: the number of processes.
        process_id: the index of this process, from 0.
        distributed: True: let jax find the job, as it can on TPU virtual machines; False: do not join any job; None:
            join the job that ``detect_job`` detects.
        timeouts: how long to wait for other processes.
        stop: the request to stop that this process's signals make and that training checks.

    Returns:
        The job, which must be left with ``leave``; None if this process is alone. If another process is lost before
        that, this process prints one line on standard error and exits with code 75.

    Raises:
        ConfigError: if the arguments are incomplete or impossible.
        DeviceError: if the other processes cannot be joined.
    """
    given = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    present = [f"`{name}`" for name, value in given.items() if value is not None]
    missing = [f"`{name}`" for name, value in given.items() if value is None]
    if distributed is False:
        if present:
            raise ConfigError(f"{present[0]} joins a job, and `distributed` is switched off: leave one of them out")
        return None
    if present:
        if missing:
            raise ConfigError(f"{present[0]} needs {' and '.join(missing)} beside it: give all three, to every process")
        place = _checked_place(coordinator, processes, process_id)
    else:
        place = _detected_place(distributed, timeouts)
    if place is None or place.processes == 1:
        return None
    return _join(place, timeouts, StopRequest() if stop is None else stop)


def _detected_place(distributed: bool | None, timeouts: Timeouts) -> _Place | None:
    """Return this process's place in the job that the environment or jax shows; None without a job."""
    how = detect_job()
    if how is None and not distributed:
        return None
    coordinator, processes, process_id = None, None, None
    if how == "JAX_COORDINATOR_ADDRESS":
        coordinator = os.environ[how]
        processes, process_id = _number("JAX_NUM_PROCESSES"), _number("JAX_PROCESS_ID")
    if coordinator is not None and processes is not None and process_id is not None:
        return _checked_place(coordinator, processes, process_id)
    from jax._src.clusters import ClusterEnv

    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(
            coordinator, processes, process_id, None, None, int(timeouts.start_timeout)
        )
    except (ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        raise _cannot_join(_first_line(error)) from error
    if None in found[:3]:
        raise _cannot_join("nothing says where the first one is, how many there are, and which this is")
    return _checked_place(*found)


def _checked_place(coordinator: Any, processes: Any, process_id: Any, local_devices: Any = None) -> _Place:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(f"`coordinator` must be HOST:PORT, not {coordinator!r}")
    if processes < 1:
        raise ConfigError(f"`processes` must be 1 or more, not {processes}")
    if not 0 <= process_id < processes:
        raise ConfigError(f"`process_id` must be from 0 to {processes - 1}, not {process_id}")
    return _Place(coordinator, processes, process_id, local_devices)


def _join(place: _Place, timeouts: Timeouts, stop: StopRequest) -> Job:
    _, processes, process_id, local_devices = place
    host, _, port = place.coordinator.rpartition(":")
    host, port, hub, service_port = host.strip("[]"), int(port), None, free_local_port()
    if process_id == 0:
        try:
            hub = Hub(port, processes, service_port, timeouts=timeouts)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _cannot_join(f"port {port}: {error.strerror or error}") from error
            # If another process 0 has the port, it will refuse this process, with the reason.
            timeouts = timeouts._replace(start_timeout=min(timeouts.start_timeout, PORT_IN_USE_SECONDS))

    def lost(process: int, reason: str) -> NoReturn:
        what = f"another process of the job is gone (process {process}: {reason}): run the job again with `resume`"

        def say() -> None:
            stop.say(f"error: process {process_id} of {processes}: {what}")
            if hub is not None:
                hub.farewell()

        leave_at_once(STOPPED, say)

    member = join_processes((host, port), process_id, processes, timeouts=timeouts, listener=stop, lost=lost)
    # The member must detect a lost process before jax's client does, which aborts its process with a stack trace.
    patience = int(2 * timeouts.partner_timeout) + 60
    jax.config.update("jax_enable_preemption_service", False)  # it would handle SIGTERM itself
    try:
        jax.distributed.initialize(
            f"127.0.0.1:{service_port}" if hub is not None else Relay(host, port).address,
            processes,
            process_id,
            local_device_ids=local_devices,
            coordinator_bind_address=f"127.0.0.1:{service_port}",
            initialization_timeout=int(timeouts.start_timeout) + 60,
            heartbeat_timeout_seconds=patience,
            shutdown_timeout_seconds=patience,
        )
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise _cannot_join(_first_line(error)) from error
    job = stop.job = Job(member, hub)
    _joined.append(job)
    return job


def _cannot_join(reason: str) -> DeviceError:
    return DeviceError(
        f"cannot join the other processes ({reason}): give `coordinator` HOST:PORT, `processes` N and `process_id` I "
        "to every one of them, or switch `distributed` off to train in this process alone"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _number(name: str) -> int | None:
    value = os.environ.get(name)
    if value is not None and not value.isdecimal():
        raise ConfigError(f"{name} must be a whole number, not {value!r}: correct it, or switch `distributed` off")
    return None if value is None else int(value)


def is_multiprocess() -> bool:
    """Return whether this is one of several processes."""
    return bool(_joined or jax.distributed.is_initialized()) and jax.process_count() > 1


def is_primary() -> bool:
    """Return whether this process prints and writes for all: the only process, or process 0."""
    return not is_multiprocess() or jax.process_index() == 0


def from_primary(text: str) -> str:
    """Return the text of process 0 in every process; every process must call this."""
    if not is_multiprocess():
        return text
    data = np.frombuffer(text.encode() + b"\0", np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(data.size)))
    mine = data if is_primary() else np.zeros(length, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes()[:-1].decode()


def any_process(flag: bool) -> bool:
    """Return whether the flag is true in any process; every process must call this."""
    return flag if not is_multiprocess() else bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def on_primary(action: Callable[[], None]) -> None:
    """Call a function in process 0 alone, while the others wait.

    Raises:
        AgreedError: in every process, if the function raises a ``UserError`` or ``OSError``. In a job of one process,
            that error itself.
    """
    if not is_multiprocess():
        action()
        return
    complaint = ""
    if is_primary():
        try:
            action()
        except (UserError, OSError) as error:
            complaint = str(error)
    complaint = from_primary(complaint)
    if complaint:
        raise AgreedError(complaint)


def in_every_process(action: Callable[[], Result]) -> Result:
    """Call a function in every process, and return its result if it succeeds in all of them.

    Raises:
        AgreedError: in every process, if the function raises a ``UserError`` or ``OSError`` in any: with its message
            there, and in the others with a message that says that another process has failed. In a job of one process,
            that error itself.
    """
    if not is_multiprocess():
        return action()
    results, complaint = [], ""
    try:
        results.append(action())
    except (UserError, OSError) as error:
        complaint = str(error)
    if any_process(bool(complaint)):
        raise AgreedError(complaint or "another process of this job has stopped: its own message says why")
    return results[0]


def gather_texts(text: str) -> list[str]:
    """Return the texts of all processes, in the order of the processes; every process must call this."""
    if not is_multiprocess():
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.int32(data.size))).tolist()
    padded = np.pad(data, (0, max(lengths) - data.size))
    texts = np.asarray(multihost_utils.process_allgather(padded))
    return [texts[k, :length].tobytes().decode() for k, length in enumerate(lengths)]


def require_same(values: Mapping[str, object]) -> None:
    """Check that all processes have the same values, which must be JSON values.

    Raises:
        AgreedError: in every process, naming the first value in which a process differs from process 0.
    """
    if not is_multiprocess():
        return
    first, *others = (json.loads(text) for text in gather_texts(json.dumps(values)))
    for process, other in enumerate(others, start=1):
        for name, value in first.items():
            if other.get(name) != value:
                raise AgreedError(
                    f"the processes of this job differ in {name} ({_abbreviated(value)} in process 0, "
                    f"{_abbreviated(other.get(name))} in process {process}): start them all alike"
                )


def _abbreviated(value: object) -> str:
    """Return a value as text, digests and other long values cut after 12 characters."""
    shown = str(value)
    return shown if len(shown) <= 40 else f"{shown[:12]}…"
