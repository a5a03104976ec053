"""TPU slices by name, as devices that can be compiled for and nothing else: ``libtpu`` has the compiler."""

import importlib.util
import math
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax.experimental import topologies

from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.accelerators import Accelerator, find_accelerator

#: What libtpu asks of a machine with TPUs, answered for one without: it neither searches nor warns, and two may compile
#: at a time. (It reads them when it is loaded, which is when the first topology is opened.)
_ALONE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_MIN_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
#: Slices of a torus of two axes that are on offer. libtpu ends the process over some others.
_FLAT = {(1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)}
#: Of a torus of three axes: no longer axis, and no more chips.
_LONGEST, _MOST = 24, 9216


class _Generation(NamedTuple):
    axes: int
    options: dict[str, Any]


_GENERATIONS = {
    "v4": _Generation(3, {"chip_config_name": "megacore"}),  # both cores of a chip as one device, as TPU VMs have it
    "v5e": _Generation(2, {}),
    "v5p": _Generation(3, {}),
    "v6e": _Generation(2, {}),
    "TPU7x": _Generation(3, {}),
}


class TopologyName(NamedTuple):
    """``v5e:4x4`` in its parts."""

    generation: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """The name as libtpu has it."""
        return f"{self.generation}:{'x'.join(map(str, self.shape))}"


@dataclass(frozen=True)
class Topology:
    """The devices of a slice, to compile for."""

    name: TopologyName
    devices: tuple[Any, ...]
    accelerator: Accelerator


def parse_topology(text: str) -> TopologyName:
    """The parts of ``v5e:4x4``.

    Raises:
        UserError: if it is no name of a TPU slice.
    """
    first, colon, second = text.strip().partition(":")
    generation = next((name for name in _GENERATIONS if name.lower() == first.lower()), None)
    if generation is None or not colon:
        raise UserError(
            f"unknown topology {text!r}: give a TPU and its chips, one of {', '.join(_GENERATIONS)}, as in v5e:4x4"
        )
    parts = second.lower().split("x")
    axes = _GENERATIONS[generation].axes
    shape = tuple(int(part) for part in parts if part.isascii() and part.isdecimal())
    if len(shape) != len(parts) or len(shape) != axes or 0 in shape:
        example = "4x4" if axes == 2 else "4x4x4"
        raise UserError(f"topology {text!r} needs {axes} numbers of chips, as in {generation}:{example}")
    if axes == 2 and shape not in _FLAT:
        known = ", ".join(f"{a}x{b}" for a, b in sorted(_FLAT))
        raise UserError(f"there is no topology {text!r}: choose one of {generation}:{known}")
    if axes == 3 and (max(shape) > _LONGEST or math.prod(shape) > _MOST):
        raise UserError(
            f"there is no topology {text!r}: no axis is longer than {_LONGEST}, no slice above {_MOST} chips"
        )
    return TopologyName(generation, shape)


def open_topology(text: str) -> Topology:
    """The devices of a slice by name, such as ``v5e:4x4``; none of them needs to exist.

    Raises:
        UserError: if libtpu is not installed, or there is no such slice.
    """
    name = parse_topology(text)
    if importlib.util.find_spec("libtpu") is None:
        raise UserError("compiling for a TPU needs libtpu: pip install 'rnnlm_jax[aot]'")
    for variable, value in _ALONE.items():
        os.environ.setdefault(variable, value)
    options = dict(_GENERATIONS[name.generation].options)
    if math.prod(name.shape) == 1:
        options["chips_per_host_bounds"] = [1, 1, 1]
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=str(name), **options).devices
    except RuntimeError as error:  # jax's own errors, and what a plugin does not implement, are among them
        reason = str(error).splitlines()[0]
        raise UserError(f"libtpu cannot compile for {name} ({reason}): choose another --topology") from error
    kind = devices[0].device_kind
    accelerator = find_accelerator(kind)
    if accelerator is None or accelerator.memory is None:
        raise UserError(f"the memory of a {kind} is not known here: choose another --topology")
    return Topology(name, tuple(devices), accelerator)
