"""Random faults of a training run, one after the other: ``python -m benchmarks.faults [--faults N] [--seed N]``.

A small model is trained through the command line, once undisturbed. Each fault then hits a copy of a run that was
killed half way, or is complete, and ``train --resume`` must either come to the very same parameters, losses and
results, or stop with one line and exit code 2. Anything else is printed, and the exit code is 1.
"""

import argparse
import collections
import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fault_kinds import DAMAGE, MIXED, PROCESS, SHARES, Missed, WrongExit
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.training.interval_metrics import TIMING_PREFIXES
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.run_lock import LOCK

#: The command, in a process whose files may be limited; without the figure, which takes longer than a run's steps.
PROGRAM = """
import resource, sys
if sys.argv[1] != "None":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
del sys.argv[1]
from rnnlm_jax.cli.main import run
from rnnlm_jax.training import results
results.learning_curve = lambda metrics, names, path: None
run()
"""

#: A run of a second or two: some sixty steps, a checkpoint every fourth.
MODEL = (
    *("--cell=elman-tanh", "--hidden-size=8", "--init-scale=0.3", "--batch-size=2", "--bptt=10", "--epochs=4"),
    *("--no-tie-embeddings", "--dropout-output=0.1", "--optimizer=adam", "--learning-rate=0.02", "--decay=1"),
    *("--log-every=1", "--checkpoint-every=4"),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a fault came to."""

    kind: str
    what: str
    came_to: str
    """"went on rightly", "went on rightly without earlier records", "stopped with one line"; else what was wrong."""
    said: str

    @property
    def fine(self) -> bool:
        """Whether nothing was lost without a word, and nothing is wrong."""
        return self.came_to.startswith(("went on rightly", "stopped with one line"))


class Laboratory:
    """A folder with a text, a run that nothing happened to, some that were killed, and one of another learning rate."""

    def __init__(self, folder: Path, snapshots: int = 3):
        """Train the undisturbed run, and kill some others at moments spread over their steps."""
        self.folder, self.text = folder, folder / "text.txt"
        self.text.write_text(sentences())
        self.whole = folder / "whole"
        self.other = folder / "another-rate"
        for run, options in ((self.whole, ()), (self.other, ("--learning-rate=0.01",))):
            done = self.train(run, options=options)
            if done.returncode:
                raise RuntimeError(done.stderr)
        self.snapshots = [self.whole]
        lines = len(records(self.whole))
        for k in range(snapshots):
            run = folder / f"killed-{k}"
            process = self.start(run, resume=False)
            while process.poll() is None and lines_of(run) < lines * (k + 1) // (snapshots + 1):
                time.sleep(0.001)
            process.kill()
            process.wait()
            self.snapshots.append(run)

    def start(
        self, run: Path, limit: int | None = None, resume: bool = True, options: Sequence[str] = ()
    ) -> subprocess.Popen:
        """Begin to train, or to go on."""
        words = ["--resume"] if resume else [*MODEL, f"--data={self.text}", *options]
        cache = f"--compilation-cache={self.folder / 'compiled'}"
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(limit), "train", f"--run={run}", cache, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"},
        )

    def train(self, run: Path, resume: bool = False, options: Sequence[str] = ()) -> subprocess.CompletedProcess:
        """Train to the end."""
        process = self.start(run, resume=resume, options=options)
        _, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, "", errors)

    def hit(self, kind: str, rng: random.Random) -> Outcome:
        """Have one fault hit a copy of a run, and resume it."""
        run = self.folder / "hit"
        while True:
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(rng.choice(self.snapshots[kind in PROCESS :]), run)
            try:
                if kind in DAMAGE:
                    what = DAMAGE[kind](run, rng)
                elif kind in MIXED:
                    what = MIXED[kind](run, rng, self.other)
                else:
                    what = PROCESS[kind](run, rng, lambda limit: self.start(run, limit))
                break
            except Missed:
                continue
            except WrongExit as error:
                return Outcome(kind, "", str(error), "")
        before = content(run)
        done = self.train(run, resume=True)
        return Outcome(kind, what, *self.judge(run, before, done))

    def judge(self, run: Path, before: dict[Path, bytes], done: subprocess.CompletedProcess) -> tuple[str, str]:
        """What a resumed run came to, and what it said."""
        lines = [line for line in done.stderr.replace("\r", "\n").split("\n") if line.startswith("rnnlm-jax")]
        said, errors = " | ".join(lines), [line for line in lines if "error: " in line]
        if "Traceback" in done.stderr:
            return "a traceback", done.stderr[done.stderr.index("Traceback") :].strip()
        if done.returncode == 2:
            if len(errors) != 1 or content(run) != before:
                return "stopped, but not with one line, or it changed files", said
            return "stopped with one line", said
        if done.returncode:
            return f"exit code {done.returncode}", said
        theirs, ours = records(self.whole), records(run)
        if final(run) != final(self.whole):
            return "other parameters or results", said
        if ours == theirs:
            return "went on rightly", said
        if "metrics.jsonl is missing" in said and ours == theirs[len(theirs) - len(ours) :]:
            return "went on rightly without earlier records", said
        return "other records", said


def sentences() -> str:
    """A text of 50 lines of a few words."""
    rng, words = random.Random(0), list("abcdefghijkl")
    return "\n".join(" ".join(rng.choices(words, k=rng.randrange(3, 9))) for _ in range(50)) + "\n"


def lines_of(run: Path) -> int:
    """How many lines of metrics a run has written."""
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def records(run: Path) -> list[dict[str, Any]]:
    """The metrics of a run without what depends on the clock."""
    return [timeless(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def final(run: Path) -> list[Any]:
    """The last step, the digests of all that it saved, and the figures of the best parameters."""
    step = max(int(path.name) for path in (run / "checkpoints" / "last").iterdir())
    about = json.loads((run / "checkpoints" / "last" / str(step) / "about" / "metadata").read_text())
    results = json.loads((run / "results.json").read_text())
    return [step, about["digests"], timeless(results["test"]), timeless(results["valid"])]


def timeless(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures without those of the clock, and without the name of the run."""
    return {name: value for name, value in figures.items() if not name.startswith((*TIMING_PREFIXES, "run_id"))}


def content(run: Path) -> dict[Path, bytes]:
    """Every file of a run but the lock, which says who trained last."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != LOCK}


def draws(count: int, rng: random.Random) -> Iterator[str]:
    """Kinds of faults, in their shares."""
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    while count > 0:
        rng.shuffle(kinds)
        yield from kinds[:count]
        count -= len(kinds)


def summary(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    """How many of each kind came to what."""
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        table[outcome.kind][outcome.came_to] += 1
    return {kind: dict(table[kind]) for kind in SHARES if kind in table}


def main() -> int:
    """Bring about the faults, and record what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the faults (default: 0)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "faults-cpu.json")
    arguments = parser.parse_args()
    rng, outcomes = random.Random(arguments.seed), []
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory(Path(folder))
        for number, kind in enumerate(draws(arguments.faults, rng)):
            outcomes.append(laboratory.hit(kind, rng))
            last = outcomes[-1]
            print(
                f"{number + 1:4d} {last.kind}: {last.what}: {last.came_to.upper() if not last.fine else last.came_to}"
            )
            print(f"     {last.said.replace(folder, '')}", flush=True)
    table = summary(outcomes)
    print(json.dumps(table, indent=2))
    wrong = [dataclasses.asdict(outcome) for outcome in outcomes if not outcome.fine]
    record = {"faults": len(outcomes), "seed": arguments.seed, "came_to": table, "wrong": wrong}
    write_json(arguments.out, record | {"environment": environment()})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
