"""TPU slices by name, as devices to compile for; they need not exist. The compiler is in ``libtpu``."""

import importlib.util
import math
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax.experimental import topologies

from rnnlm_jax.errors import ConfigError, DeviceError
from rnnlm_jax.jobs.accelerators import Accelerator, find_accelerator

#: Environment variables with which libtpu works without TPUs: it does not search for any, does not warn, and allows two
#: processes at a time. It reads them when it is loaded, which is when the first topology is opened.
_WITHOUT_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_MIN_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
#: Available slices with two axes. libtpu aborts the process for some others.
_TWO_AXES = {(1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)}
#: Slices with three axes: the longest axis, and the most chips.
_LONGEST_AXIS, _MOST_CHIPS = 24, 9216


class _Generation(NamedTuple):
    axes: int
    options: dict[str, Any]


_GENERATIONS = {
    "v4": _Generation(3, {"chip_config_name": "megacore"}),  # both cores of a chip are one device, as on TPU VMs
    "v5e": _Generation(2, {}),
    "v5p": _Generation(3, {}),
    "v6e": _Generation(2, {}),
    "TPU7x": _Generation(3, {}),
}


class TopologyName(NamedTuple):
    """The parts of a name such as ``v5e:4x4``."""

    generation: str
    shape: tuple[int, ...]
    """Chips along each axis."""

    def __str__(self) -> str:
        """Return the name in libtpu's spelling."""
        return f"{self.generation}:{'x'.join(map(str, self.shape))}"


@dataclass(frozen=True)
class Topology:
    """The devices of a TPU slice, to compile for."""

    name: TopologyName
    devices: tuple[Any, ...]
    accelerator: Accelerator


def parse_topology(text: str) -> TopologyName:
    """Parse a name such as ``v5e:4x4``.

    Raises:
        ConfigError: if it is not the name of a TPU slice.
    """
    first, colon, second = text.strip().partition(":")
    generation = next((name for name in _GENERATIONS if name.lower() == first.lower()), None)
    if generation is None or not colon:
        raise ConfigError(
            f"unknown topology {text!r}: give a TPU and its chips, one of {', '.join(_GENERATIONS)}, as in v5e:4x4"
        )
    parts = second.lower().split("x")
    axes = _GENERATIONS[generation].axes
    shape = tuple(int(part) for part in parts if part.isascii() and part.isdecimal())
    if len(shape) != len(parts) or len(shape) != axes or 0 in shape:
        example = "4x4" if axes == 2 else "4x4x4"
        raise ConfigError(f"topology {text!r} needs {axes} numbers of chips, as in {generation}:{example}")
    if axes == 2 and shape not in _TWO_AXES:
        known = ", ".join(f"{a}x{b}" for a, b in sorted(_TWO_AXES))
        raise ConfigError(f"topology {text!r} does not exist: choose one of {generation}:{known}")
    if axes == 3 and (max(shape) > _LONGEST_AXIS or math.prod(shape) > _MOST_CHIPS):
        raise ConfigError(
            f"topology {text!r} does not exist: no axis is longer than {_LONGEST_AXIS}, "
            f"no slice above {_MOST_CHIPS} chips"
        )
    return TopologyName(generation, shape)


def open_topology(text: str) -> Topology:
    """Return the devices of a TPU slice by name, such as ``v5e:4x4``; they need not exist.

    Raises:
        ConfigError: if the slice does not exist.
        DeviceError: if libtpu is not installed, or cannot compile for the slice.
    """
    name = parse_topology(text)
    if importlib.util.find_spec("libtpu") is None:
        raise DeviceError("compiling for a TPU needs libtpu: pip install 'rnnlm_jax[aot]'")
    for variable, value in _WITHOUT_TPU.items():
        os.environ.setdefault(variable, value)
    options = dict(_GENERATIONS[name.generation].options)
    if math.prod(name.shape) == 1:
        options["chips_per_host_bounds"] = [1, 1, 1]
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=str(name), **options).devices
    except RuntimeError as error:  # among them jax's own errors, and NotImplementedError of plugins
        reason = str(error).splitlines()[0]
        raise DeviceError(f"libtpu cannot compile for {name} ({reason}): choose another `topology`") from error
    kind = devices[0].device_kind
    accelerator = find_accelerator(kind)
    if accelerator is None or accelerator.memory is None:
        raise DeviceError(f"the memory of a {kind} is not known here: choose another `topology`")
    return Topology(name, tuple(devices), accelerator)
