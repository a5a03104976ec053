"""Processes that tests start: some devices each, together a job."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def environment(devices=1):
    """That of this process, for a program on so many virtual devices, in the types of a user."""
    return os.environ | {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "0",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def start(words, devices=1):
    """A Python process with these words, whose output is kept."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, words)], env=environment(devices), cwd=ROOT, **pipes)


def finish(processes, seconds=300):
    """What each came to: exit code, output, errors. None is left behind."""
    try:
        both = [process.communicate(timeout=seconds) for process in processes]
        return [(process.returncode, *pair) for process, pair in zip(processes, both, strict=True)]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
