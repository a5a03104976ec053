"""What can happen to a training run: the faults of ``benchmarks.faults``, each drawn from a random generator."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from rnnlm_jax.jobs.stopping import STOPPED

#: Begins a command of the run, its files limited to so many bytes where a number is given.
Start = Callable[[int | None], subprocess.Popen]


class Missed(Exception):
    """The fault could not be brought about, and is drawn again."""


class WrongExit(Exception):
    """A process that was hit ended as none should."""


def flipped_bit(run: Path, rng: random.Random) -> str:
    """One bit of one file is another."""
    path = _file(run, rng)
    content = bytearray(path.read_bytes())
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place} of {path.relative_to(run)}"


def truncated_file(run: Path, rng: random.Random) -> str:
    """A file ends too early."""
    path = _file(run, rng)
    length = rng.randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:length])
    return f"{path.relative_to(run)} after {length} bytes"


def missing_file(run: Path, rng: random.Random) -> str:
    """A file is gone."""
    path = _file(run, rng)
    path.unlink()
    return str(path.relative_to(run))


def deleted_newest_step(run: Path, rng: random.Random) -> str:
    """The newest checkpoint of a kind is gone."""
    path = _newest(run, rng)
    shutil.rmtree(path)
    return str(path.relative_to(run))


def emptied_newest_step(run: Path, rng: random.Random) -> str:
    """The newest checkpoint of a kind is an empty folder."""
    path = _newest(run, rng)
    shutil.rmtree(path)
    path.mkdir()
    return str(path.relative_to(run))


#: What two runs of the same text and sizes may have in each other's place: no reader stumbles over its form.
PARTS = ("config.json", "vocabulary.json", "counts.json", "metrics.jsonl", "results.json", "best", "last", "step")


def file_of_another_run(run: Path, rng: random.Random, other: Path) -> str:
    """A file, all checkpoints of a kind or one of them have been copied from a run with another learning rate."""
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


#: Faults of files, which need no process.
DAMAGE = {
    "flipped bit": flipped_bit,
    "truncated file": truncated_file,
    "missing file": missing_file,
    "deleted newest step": deleted_newest_step,
    "emptied newest step": emptied_newest_step,
}


def sigkill(run: Path, rng: random.Random, start: Start) -> str:
    """The process is killed at a random instant, often amid a save."""
    process = start(None)
    where = _wait(process, run, rng)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise Missed
    return where


def sigterm(run: Path, rng: random.Random, start: Start) -> str:
    """The process is asked to stop at a random instant."""
    process = start(None)
    where = _wait(process, run, rng)
    asked = time.monotonic()
    process.terminate()
    code = process.wait()
    if code in (0, -signal.SIGTERM):  # it was done; or still loading Python's modules
        raise Missed
    if code != STOPPED:
        raise WrongExit(f"exit code {code} after SIGTERM")
    return f"{where}; it took {time.monotonic() - asked:.1f} s"


def full_disk(run: Path, rng: random.Random, start: Start) -> str:
    """No file can grow beyond so many bytes, as on a full disk."""
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

#: Faults of files of which another run is needed.
MIXED = {"file of another run": file_of_another_run}

#: Of 100 faults so many are of a kind.
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
    """Any file, or in three cases of four one that is read: many of a checkpoint's are not, or can be done without."""
    found = [path for path in run.rglob("*") if path.is_file() and path.stat().st_size]
    if rng.random() < 0.75:
        newest = _newest(run, rng)
        read = [newest / "about" / "metadata", *newest.glob("*/d/*")]
        found = read if rng.random() < 0.75 else [path for path in found if path.parent == run]
    return rng.choice(sorted(found))


def _newest(run: Path, rng: random.Random) -> Path:
    """The newest checkpoint of a kind, mostly of the last ones."""
    kind = "best" if rng.random() < 0.3 and any((run / "checkpoints" / "best").glob("[0-9]*")) else "last"
    found = (path for path in (run / "checkpoints" / kind).iterdir() if path.name.isdigit())
    return max(found, key=lambda path: int(path.name))


def _wait(process: subprocess.Popen, run: Path, rng: random.Random) -> str:
    """Wait for some lines of metrics more, or for the start of a save, and then a little."""
    metrics, checkpoints = run / "metrics.jsonl", run / "checkpoints"
    lines, amid = rng.randrange(1, 25), rng.random() < 0.4
    pause = rng.uniform(0.0, 0.05)
    before = None
    while process.poll() is None:
        written = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
        before = written if before is None else min(before, written)  # resuming drops some
        if written - before >= lines and (not amid or any(checkpoints.glob("*/*tmp*"))):
            break
        time.sleep(0.001)
    time.sleep(pause)
    return f"{lines} lines on{', amid a save' if amid else ''}, after {1000 * pause:.0f} ms"
