"""The faults of ``benchmarks.faults``, each brought about at a place or time drawn from a random generator.

A fault of files returns a description of what it changed; a fault of a process, of when it happened.
"""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from rnnlm_jax.jobs.stopping import STOPPED

#: Starts the command that trains a run; the argument limits the size of its files in bytes, None does not.
Start = Callable[[int | None], subprocess.Popen]


class Missed(Exception):
    """The fault could not be brought about: it is drawn again."""


class WrongExit(Exception):
    """A process ended with a wrong exit code or message after a fault."""


def flipped_bit(run: Path, rng: random.Random) -> str:
    """Flip one bit of one file."""
    path = _file(run, rng)
    content = bytearray(path.read_bytes())
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place} of {path.relative_to(run)}"


def truncated_file(run: Path, rng: random.Random) -> str:
    """Truncate a file."""
    path = _file(run, rng)
    length = rng.randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:length])
    return f"{path.relative_to(run)} after {length} bytes"


def missing_file(run: Path, rng: random.Random) -> str:
    """Delete a file."""
    path = _file(run, rng)
    path.unlink()
    return str(path.relative_to(run))


def deleted_newest_step(run: Path, rng: random.Random) -> str:
    """Delete the newest checkpoint of a kind."""
    path = _newest(run, rng)
    shutil.rmtree(path)
    return str(path.relative_to(run))


def emptied_newest_step(run: Path, rng: random.Random) -> str:
    """Delete the files of the newest checkpoint of a kind, leaving an empty folder."""
    path = _newest(run, rng)
    shutil.rmtree(path)
    path.mkdir()
    return str(path.relative_to(run))


#: Parts that two runs of the same text and sizes have in the same format, so that one can replace the other.
PARTS = ("config.json", "vocabulary.json", "counts.json", "metrics.jsonl", "results.json", "best", "last", "step")


def file_of_another_run(run: Path, rng: random.Random, other: Path) -> str:
    """Replace a file, all checkpoints of a kind, or one, by those of a run with another learning rate."""
    part = rng.choice(PARTS)
    if part == "step":
        part = str(_newest(run, rng).relative_to(run))
    elif "." not in part:
        part = f"checkpoints/{part}"
    source, target = other / part, run / part
    if not source.exists() or not target.exists():
        raise Missed
    if target.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return part


#: Faults of files of one run.
DAMAGE = {
    "flipped bit": flipped_bit,
    "truncated file": truncated_file,
    "missing file": missing_file,
    "deleted newest step": deleted_newest_step,
    "emptied newest step": emptied_newest_step,
}


def sigkill(run: Path, rng: random.Random, start: Start) -> str:
    """Kill the process at a random instant, often during a save."""
    process = start(None)
    where = _wait(process, run, rng)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise Missed
    return where


def sigterm(run: Path, rng: random.Random, start: Start) -> str:
    """Send the process SIGTERM at a random instant."""
    process = start(None)
    where = _wait(process, run, rng)
    signalled = time.monotonic()
    process.terminate()
    code = process.wait()
    if code in (0, -signal.SIGTERM):  # it had ended, or was still importing modules
        raise Missed
    if code != STOPPED:
        raise WrongExit(f"exit code {code} after SIGTERM")
    return f"{where}; it took {time.monotonic() - signalled:.1f} s"


def full_disk(run: Path, rng: random.Random, start: Start) -> str:
    """Limit the size of files, as on a full disk."""
    limit = rng.randrange(200, 6000)
    process = start(limit)
    _, errors = process.communicate()
    if process.returncode == 0:
        raise Missed
    if process.returncode != 2 or errors.count("error: ") != 1 or "Traceback" in errors:
        raise WrongExit(f"exit code {process.returncode} on a full disk: {errors}")
    return f"files of {limit} bytes at most"


#: Faults of processes.
PROCESS = {"SIGKILL": sigkill, "SIGTERM": sigterm, "full disk": full_disk}

#: Faults that need the files of another run.
MIXED = {"file of another run": file_of_another_run}

#: Number of faults of each kind among 100.
SHARES = {
    "SIGKILL": 23,
    "SIGTERM": 9,
    "full disk": 7,
    "flipped bit": 19,
    "truncated file": 13,
    "missing file": 11,
    "deleted newest step": 5,
    "emptied newest step": 3,
    "file of another run": 10,
}


def _file(run: Path, rng: random.Random) -> Path:
    """Draw a file; in three of four cases one that resuming reads, since it does not need most of a checkpoint's."""
    found = [path for path in run.rglob("*") if path.is_file() and path.stat().st_size]
    if rng.random() < 0.75:
        newest = _newest(run, rng)
        read = [newest / "about" / "metadata", *newest.glob("*/d/*")]
        found = read if rng.random() < 0.75 else [path for path in found if path.parent == run]
    return rng.choice(sorted(found))


def _newest(run: Path, rng: random.Random) -> Path:
    """Return the newest checkpoint of a kind, drawn with 30 % best and 70 % last."""
    kind = "best" if rng.random() < 0.3 and any((run / "checkpoints" / "best").glob("[0-9]*")) else "last"
    found = (path for path in (run / "checkpoints" / kind).iterdir() if path.name.isdigit())
    return max(found, key=lambda path: int(path.name))


def _wait(process: subprocess.Popen, run: Path, rng: random.Random) -> str:
    """Wait for some more lines of metrics, or the start of a save, and then up to 50 ms; return a description."""
    metrics, checkpoints = run / "metrics.jsonl", run / "checkpoints"
    lines, during = rng.randrange(1, 25), rng.random() < 0.4
    pause = rng.uniform(0.0, 0.05)
    before = None
    while process.poll() is None:
        written = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
        before = written if before is None else min(before, written)  # resuming drops some
        if written - before >= lines and (not during or any(checkpoints.glob("*/*tmp*"))):
            break
        time.sleep(0.001)
    time.sleep(pause)
    return f"{lines} lines on{', during a save' if during else ''}, after {1000 * pause:.0f} ms"
