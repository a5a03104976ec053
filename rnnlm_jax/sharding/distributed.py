"""A job of several processes, one a host: how it comes together, what it agrees on, and how it comes apart.

``jax.distributed`` does the work. What is here decides whether there is such a job at all, lets the first process speak
for all, and sees to it that no process waits for one that has failed.
"""

import json
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from rnnlm_jax.errors import UserError

Result = TypeVar("Result")

#: A process that has not been heard of for so many seconds is taken for dead, and the others stop.
HEARTBEAT_SECONDS = 60

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


def init(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    join: bool | None = None,
) -> bool:
    """Join the other processes of a job, if there is one; before anything is computed.

    Args:
        coordinator: HOST:PORT of the first process, where the others find it; with the next two, for every process.
        processes: how many there are.
        process_id: which of them this is, from 0.
        join: True: jax is to find out by itself, as it can on a TPU virtual machine; False: do not join, whatever the
            environment says; None: join what is ``detected``.

    Returns:
        whether there are several processes now.

    Raises:
        UserError: if the three arguments are not all there or cannot be, or there is nobody to join.
    """
    if jax.distributed.is_initialized():
        return jax.process_count() > 1
    given = {"--coordinator": coordinator, "--processes": processes, "--process-id": process_id}
    told = [name for name, value in given.items() if value is not None]
    if join is False:
        if told:
            raise UserError(f"{told[0]} joins a job and --no-distributed does not: leave one of them out")
        return False
    if told:
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise UserError(f"{told[0]} needs {' and '.join(missing)} beside it: give all three, to every process")
    else:
        how = detected()
        if how is None and not join:
            return False
        if how == "JAX_COORDINATOR_ADDRESS":
            coordinator = os.environ[how]
            processes, process_id = _number("JAX_NUM_PROCESSES"), _number("JAX_PROCESS_ID")
    _check(coordinator, processes, process_id)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"cannot join the other processes ({reason}): give --coordinator HOST:PORT --processes N --process-id I "
            "to every one of them, or --no-distributed to train in this one alone"
        ) from error
    return jax.process_count() > 1


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
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process speaks for all: the only one, or the first of several."""
    return not several() or jax.process_index() == 0


def wait_for_all() -> None:
    """Return when every process of the job has come here."""
    any_process(False)


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
