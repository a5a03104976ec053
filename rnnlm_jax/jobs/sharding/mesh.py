"""The devices of a job as a mesh of two named axes."""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from rnnlm_jax.errors import UserError

#: Batches are divided over the first axis, large tables over the second.
DATA, MODEL = AXES = ("data", "model")


def parse_mesh(text: str) -> dict[str, int]:
    """The axes of ``"data=4,model=2"`` with their lengths; an axis that is not named has length 1.

    Raises:
        UserError: if that is no such text, an axis is unknown or named twice, or a length is no positive number.
    """
    lengths: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, length = (word.strip() for word in part.partition("="))
        if not equals or name not in AXES or name in lengths or not length.isdecimal() or int(length) < 1:
            raise UserError(f"--mesh cannot be {text!r} ({part!r}): give positive lengths, as in data=4,model=2")
        lengths[name] = int(length)
    if not lengths:
        raise UserError(f"--mesh cannot be {text!r}: give lengths, as in data=4,model=2, or leave it out")
    return {name: lengths.get(name, 1) for name in AXES}


def make_mesh(text: str | None = None, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of the axes ``data`` and ``model``, which the compiler divides programs over.

    Args:
        text: its lengths, as ``parse_mesh`` reads them; all devices along ``data`` unless given.
        devices: to lay out; those of all processes unless given. One process may leave some of its own idle.

    Raises:
        UserError: if there are not as many devices.
    """
    devices = jax.devices() if devices is None else devices
    lengths = {DATA: len(devices), MODEL: 1} if text is None else parse_mesh(text)
    wanted, several = math.prod(lengths.values()), jax.process_count() > 1
    if wanted > len(devices) or (several and wanted != len(devices)):
        of_whom = f" of {jax.process_count()} processes, each of which must take part" if several else ""
        raise UserError(f"--mesh {text} is of {wanted} devices, and there are {len(devices)}{of_whom}: change --mesh")
    return jax.make_mesh(
        tuple(lengths.values()), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=list(devices)[:wanted]
    )


def mesh_for(text: str | None) -> Mesh | None:
    """The mesh of a job, as ``make_mesh`` has it; None where it is of one device, which needs none.

    Raises:
        UserError: as ``make_mesh``.
    """
    mesh = make_mesh(text)
    return mesh if mesh.size > 1 else None


def divided_executor(asked: str | None, mesh: Mesh) -> str | None:
    """Who runs the cells on a mesh, the one asked for unless that is None; None for the fastest of one device.

    Where the compiler divides tables over ``model``, it divides whole programs: it cannot look into a kernel.

    Raises:
        UserError: if a kernel is asked for there.
    """
    if mesh.shape[MODEL] == 1:
        return asked
    if asked in ("native", "cudnn"):
        raise UserError(f"--executor {asked} is a kernel for one device: leave it out, or --mesh without model")
    return asked or "structured"


def check_divides(mesh: Mesh, batch_size: int) -> None:
    """Check that a global batch can be divided over the mesh.

    Raises:
        UserError: if it cannot.
    """
    if batch_size % mesh.shape[DATA]:
        raise UserError(
            f"--batch-size {batch_size} does not divide over data={mesh.shape[DATA]}: "
            "give a multiple of it, or another --mesh"
        )


def describe_mesh(mesh: Mesh) -> str:
    """The mesh in words, as in ``mesh data=4, model=2 (8 devices, 2 processes)``."""
    axes = ", ".join(f"{name}={length}" for name, length in mesh.shape.items())
    processes = len({device.process_index for device in mesh.devices.flat})
    count = f"{mesh.size} device{'s' * (mesh.size > 1)}, {processes} process{'es' * (processes > 1)}"
    return f"mesh {axes} ({count})"
