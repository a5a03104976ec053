"""The devices of a job as a mesh of two named axes."""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from rnnlm_jax.errors import ArgumentError, DeviceError

#: Batches are sharded over the first axis, large tables over the second.
DATA, MODEL = AXES = ("data", "model")


def parse_mesh(text: str) -> dict[str, int]:
    """Return the lengths of the axes in ``"data=4,model=2"``; an axis that is not named has length 1.

    Raises:
        ArgumentError: for another form, an axis that is unknown or named twice, or a length that is not positive.
    """
    lengths: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, length = (word.strip() for word in part.partition("="))
        if not equals or name not in AXES or name in lengths or not length.isdecimal() or int(length) < 1:
            raise ArgumentError(f"`mesh` cannot be {text!r} ({part!r}): give positive lengths, as in data=4,model=2")
        lengths[name] = int(length)
    if not lengths:
        raise ArgumentError(f"`mesh` cannot be {text!r}: give lengths, as in data=4,model=2, or leave it out")
    return {name: lengths.get(name, 1) for name in AXES}


def make_mesh(text: str | None = None, devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh of the axes ``data`` and ``model``.

    Args:
        text: lengths of the axes, as ``parse_mesh`` reads them; None: all devices along ``data``.
        devices: devices of the mesh; None: those of all processes. A single process may leave some idle.

    Raises:
        DeviceError: if there are not as many devices.
    """
    devices = jax.devices() if devices is None else devices
    lengths = {DATA: len(devices), MODEL: 1} if text is None else parse_mesh(text)
    wanted, several = math.prod(lengths.values()), jax.process_count() > 1
    if wanted > len(devices) or (several and wanted != len(devices)):
        of_processes = f" of {jax.process_count()} processes, each of which must take part" if several else ""
        raise DeviceError(
            f"`mesh` {text} needs {wanted} devices, and there are {len(devices)}{of_processes}: change `mesh`"
        )
    return jax.make_mesh(
        tuple(lengths.values()), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=list(devices)[:wanted]
    )


def mesh_for(text: str | None) -> Mesh | None:
    """Return the mesh of a job, see ``make_mesh``; None for one device, which needs no mesh.

    Raises:
        DeviceError: as ``make_mesh``.
    """
    mesh = make_mesh(text)
    return mesh if mesh.size > 1 else None


def executor_on_mesh(executor: str | None, mesh: Mesh) -> str | None:
    """Return the executor of the cells on a mesh; None for the fastest of one device.

    Where the compiler shards tables over ``model``, it shards whole programs, and cannot look into a kernel.

    Args:
        executor: the configured executor, if any.
        mesh: the mesh.

    Raises:
        DeviceError: if that is a kernel, and ``model`` has several devices.
    """
    if mesh.shape[MODEL] == 1:
        return executor
    if executor in ("native", "cudnn"):
        raise DeviceError(
            f"`executor` {executor} is a kernel for one device: leave it out, or use `mesh` without model"
        )
    return executor or "structured"


def check_divides(mesh: Mesh, batch_size: int, accumulate: int = 1) -> None:
    """Check that a global batch can be sharded over the mesh, and each device's part be cut into equal parts.

    Args:
        mesh: the mesh.
        batch_size: B.
        accumulate: number of parts.

    Raises:
        DeviceError: if it cannot.
    """
    if batch_size % mesh.shape[DATA]:
        raise DeviceError(
            f"`batch_size` {batch_size} does not divide over data={mesh.shape[DATA]}: "
            "give a multiple of it, or another `mesh`"
        )
    if batch_size // mesh.shape[DATA] % accumulate:
        raise DeviceError(
            f"`accumulate` {accumulate} does not divide the {batch_size // mesh.shape[DATA]} sequences of each device: "
            "give a divisor of them, or another `mesh`"
        )


def describe_mesh(mesh: Mesh) -> str:
    """Return the mesh in words, such as ``mesh data=4, model=2 (8 devices, 2 processes)``."""
    axes = ", ".join(f"{name}={length}" for name, length in mesh.shape.items())
    processes = len({device.process_index for device in mesh.devices.flat})
    count = f"{mesh.size} device{'s' * (mesh.size > 1)}, {processes} process{'es' * (processes > 1)}"
    return f"mesh {axes} ({count})"
