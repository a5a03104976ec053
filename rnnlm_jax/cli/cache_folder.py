"""The default folder of compiled programs: its path, a subfolder per kind of processor, and its largest size."""

import contextlib
import hashlib
import platform
from pathlib import Path

from rnnlm_jax.system.cache_root import user_cache_root

#: Largest size of the folder in bytes; the files that were used longest ago are deleted first.
LIMIT = 2**30

#: Entries of ``/proc/cpuinfo`` that decide which programs a processor can run, on x86 and on ARM.
PROCESSOR_FEATURES = {"flags", "Features", "vendor_id", "cpu family", "model", "CPU implementer", "CPU part"}


def compiled_folder() -> Path:
    """Return the folder of compiled programs in the user's cache of this library.

    Raises:
        NoCacheError: if the user has no home directory and names no folder.
    """
    return user_cache_root() / "compiled"


def processor_id() -> str:
    """Return a short identifier of the processor's instruction set: machines that share a home may differ in it."""
    about = {"machine": platform.machine(), "processor": platform.processor()}
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        pairs = ([part.strip() for part in line.split(":", 1)] for line in first.splitlines() if ":" in line)
        about |= {key: " ".join(sorted(value.split())) for key, value in pairs if key in PROCESSOR_FEATURES}
    return hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()[:12]


def prune(folder: Path, limit: int = LIMIT) -> None:
    """Delete the files of a folder that were used longest ago, until the others take at most ``limit`` bytes."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process may be pruning too
            if path.is_file():
                status = path.stat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        excess -= size
