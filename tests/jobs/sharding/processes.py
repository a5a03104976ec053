"""Start the processes of a job, each with some devices."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def environment(devices=1):
    """Return the environment of a program on some virtual devices, in float32."""
    return os.environ | {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "0",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }


def free_port():
    """Return a port that is not in use."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def start(words, devices=1):
    """Start Python with some arguments; its output is captured."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, words)], env=environment(devices), cwd=ROOT, **pipes)


def finish(processes, seconds=300):
    """Wait for processes, and return exit code, output and errors of each; kill those that take too long."""
    try:
        both = [process.communicate(timeout=seconds) for process in processes]
        return [(process.returncode, *pair) for process, pair in zip(processes, both, strict=True)]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
