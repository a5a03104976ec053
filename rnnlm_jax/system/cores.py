"""The processor cores that this process may use."""

import os


def usable_cores() -> int:
    """Return how many there are: those of the machine, or fewer if the process is bound to some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
