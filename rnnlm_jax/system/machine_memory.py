"""The memory available to arrays: of a device, or the least of machine, control groups and process limits."""

import contextlib
import math
import resource
from pathlib import Path
from typing import Any

import jax

from rnnlm_jax.errors import DeviceError


def require_memory(needed: int, what: str) -> None:
    """Check that the total memory of each device is at least ``needed``, however much of it is free.

    Args:
        needed: bytes on each device.
        what: what needs them, such as "the parameters", for the message.

    Raises:
        DeviceError: if it is less.
    """
    available = device_memory()
    if available is not None and needed > available:
        where = "this machine or job has" if jax.local_devices()[0].platform == "cpu" else "a device has"
        raise DeviceError(
            f"out of memory: {what} would take {size_text(needed)}, and {where} {size_text(available)}: choose smaller "
            "sizes, such as `batch_size`, `bptt` or `hidden_size`"
        )


def size_text(size: int) -> str:
    """Return a number of bytes as text, in GiB, or in MiB below a tenth of a GiB."""
    return f"{size / 2**20:.1f} MiB" if size < 2**30 / 10 else f"{size / 2**30:,.2f} GiB"


def bytes_on_each_device(tree: Any) -> int:
    """Return the bytes of a tree on each device; its leaves are arrays or ``ShapeDtypeStruct``, sharded or not."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        sharding = getattr(leaf, "sharding", None)
        shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
        total += leaf.dtype.itemsize * math.prod(shape)
    return total


def device_memory() -> int | None:
    """Return the memory of each local device in bytes; None if unknown."""
    device = jax.local_devices()[0]
    if (limit := (device.memory_stats() or {}).get("bytes_limit")) is not None:
        return limit
    if device.platform != "cpu" or (memory := machine_memory()) is None:
        return None
    return memory // jax.local_device_count()


def machine_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may use at most, swap included, whether free or not; None if unknown.

    Args:
        root: the folder that contains ``proc`` and ``sys``.
    """
    memory, swap = _meminfo(root, "MemTotal:"), _meminfo(root, "SwapTotal:")
    limits = [limit for group in _control_groups(root) if (limit := _limit(group, swap)) is not None]
    limits += [memory + swap] if memory else []
    limits += [soft for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA) if (soft := resource.getrlimit(kind)[0]) > 0]
    return min(limits, default=None)


def _meminfo(root: Path, name: str) -> int:
    """Return the bytes of one line of /proc/meminfo; 0 if it is missing."""
    with contextlib.suppress(OSError, ValueError):
        for words in map(str.split, (root / "proc/meminfo").read_text().splitlines()):
            if words[0] == name:
                return int(words[1]) * 1024
    return 0


def _control_groups(root: Path) -> list[Path]:
    """Return the folders of the control groups (versions 1 and 2) that limit this process's memory."""
    found: list[Path] = []
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" not in (controllers or "memory").split(","):
                continue
            top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
            group = top / path.lstrip("/")  # in a container the path may be the host's: use those that exist
            found += [folder for folder in (group, *group.parents) if folder.is_relative_to(top)]
    return found


def _limit(group: Path, swap: int) -> int | None:
    """Return the bytes of memory and of ``swap`` that one control group may use; None if it has no limit."""
    memory = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
    if memory is None:
        return None
    if (both := _number(group / "memory.memsw.limit_in_bytes")) is not None:
        return min(both, memory + swap)
    own_swap = _number(group / "memory.swap.max")
    return memory + (swap if own_swap is None else min(swap, own_swap))


def _number(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):  # "max" means no limit
        return int(file.read_text())
    return None
