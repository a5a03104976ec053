"""Available memory: of the machine, with swap, and of the control groups that limit a container."""

import pytest

from rnnlm_jax.system.machine_memory import machine_memory

GIB = 2**30
#: Files of a machine with 16 GiB and 2 GiB of swap, and the memory that this process may use, in GiB.
CASES = {
    "no control groups": ({}, 18),
    "version 2, no limit": ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 18),
    "version 2": ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": 4}, 6),
    "version 2, no swap": (
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": 4, "sys/fs/cgroup/a/memory.swap.max": "0\n"},
        4,
    ),
    "version 2, the limit is of a group above": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": 4,
            "sys/fs/cgroup/a/memory.swap.max": 1,
            "sys/fs/cgroup/a/b/memory.max": 8,
        },
        5,
    ),
    "version 2, in a container": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": 3, "sys/fs/cgroup/memory.swap.max": "0\n"},
        3,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "4:memory:/a\n1:cpu:/c\n0::/\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": 5,
            "sys/fs/cgroup/memory/a/memory.memsw.limit_in_bytes": 6,
        },
        6,
    ),
    "version 1, a path of the host": (
        {"proc/self/cgroup": "4:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": 5},
        7,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_lowest_limit_counts(tmp_path, case):
    files, gib = CASES[case]
    meminfo = f"MemTotal: {16 * 2**20} kB\nMemFree: 5 kB\nSwapTotal: {2 * 2**20} kB\n"
    for name, content in ({"proc/meminfo": meminfo} | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else f"{content * GIB}\n")
    assert machine_memory(tmp_path) == gib * GIB


def test_memory_without_proc_is_unknown(tmp_path):
    assert machine_memory(tmp_path) is None


def test_this_machine_has_plausible_memory():
    found = machine_memory()
    assert found is None or found > 2**28
