"""Peak memory of torch, which allocates while it runs: measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from rnnlm_jax.errors import DeviceError


def measure_torch(*words: str) -> int | None:
    """Return the memory in bytes of parameters, arrays kept for the backward pass, and temporaries.

    Args:
        words: command-line arguments of ``rnnlm_jax.benchmarking.torch_memory_process``.

    Returns:
        The peak above the memory at the start; None on a system that does not report it.

    Raises:
        DeviceError: if the process fails.
    """
    command = [sys.executable, "-m", "rnnlm_jax.benchmarking.torch_memory_process", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DeviceError(f"torch could not be run in a process of its own ({last}); leave out --memory")
    return json.loads(done.stdout.splitlines()[-1])


def reset_peak() -> bool:
    """Reset the record of this process's peak resident memory; return False where the system keeps none."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def resident(field: str) -> int:
    """Return the resident memory in bytes: now, for ``VmRSS``, or at its peak, for ``VmHWM``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")
