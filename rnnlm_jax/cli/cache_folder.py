"""The folder of compiled programs: where it lies, and how large it may grow."""

import contextlib
import hashlib
import platform
from pathlib import Path

from rnnlm_jax.system.cache_root import user_cache_root

#: Bytes that the command's own folder may grow to; what was used longest ago goes first.
LIMIT = 2**30

#: What of ``/proc/cpuinfo`` decides which programs a processor can run, on x86 and on ARM.
ABILITIES = {"flags", "Features", "vendor_id", "cpu family", "model", "CPU implementer", "CPU part"}


def own_folder() -> Path:
    """``compiled`` in the folder of all that is kept between starts.

    Raises:
        NoCacheError: if the user has no home directory and names no folder.
    """
    return user_cache_root() / "compiled"


def processor() -> str:
    """A short name for what this processor can do: machines share homes, but not compiled programs."""
    about = {"machine": platform.machine(), "processor": platform.processor()}
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        pairs = ([part.strip() for part in line.split(":", 1)] for line in first.splitlines() if ":" in line)
        about |= {key: " ".join(sorted(value.split())) for key, value in pairs if key in ABILITIES}
    return hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()[:12]


def prune(folder: Path, limit: int = LIMIT) -> None:
    """Delete the files that were read or written longest ago, until all below the folder are within ``limit`` bytes."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another start may be pruning too
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
