"""Peak memory of torch, which does not plan it ahead: what a process of its own needs beyond what it began with."""

import json
import subprocess
import sys
from pathlib import Path

from rnnlm_jax.errors import UserError


def of_torch(*words: str) -> int | None:
    """Bytes, from a new process that only does this: parameters, what is kept for the backward pass, temporaries.

    Args:
        words: what ``rnnlm_jax.benchmarking.torch_alone`` is to run.

    Returns:
        None on a system that does not tell.

    Raises:
        UserError: if the process fails.
    """
    command = [sys.executable, "-m", "rnnlm_jax.benchmarking.torch_alone", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"torch could not be run alone ({last}); leave out --memory")
    return json.loads(done.stdout.splitlines()[-1])


def reset_peak() -> bool:
    """Begin a new record of this process's peak resident size, where the system has one (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def resident(field: str) -> int:
    """Bytes of ``VmRSS``, resident now, or ``VmHWM``, at the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")
