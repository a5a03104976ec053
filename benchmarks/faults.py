"""Random faults of a training run: ``python -m benchmarks.faults [--faults N] [--seed N]``.

A small model is trained through the command line, once without faults. Then each fault hits a copy of a complete run or
of one that was killed half way, and ``train --resume`` must either give exactly the same parameters, losses and
results, or stop with an error of one line and exit code 2. Anything else is printed, and the exit code is 1.
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

#: The command, with an optional limit on the size of files, and without the figure, which takes longer than the steps.
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

#: Options of a run of a second or two: about sixty steps, and a checkpoint every fourth.
MODEL = (
    *("--cell=elman-tanh", "--hidden-size=8", "--init-scale=0.3", "--batch-size=2", "--bptt=10", "--epochs=4"),
    *("--no-tie-embeddings", "--dropout-output=0.1", "--optimizer=adam", "--learning-rate=0.02", "--schedule=constant"),
    *("--log-every=1", "--checkpoint-every=4"),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one fault."""

    kind: str
    detail: str
    """What was changed, or when the process was hit."""
    result: str
    """"went on rightly", "went on rightly without earlier records", "stopped with one line", or what was wrong."""
    messages: str
    """What the resumed command printed on standard error."""

    @property
    def fine(self) -> bool:
        """Whether the run went on correctly, or stopped with an error."""
        return self.result.startswith(("went on rightly", "stopped with one line"))

    def as_json(self, *folders: str) -> dict[str, str]:
        """Return the outcome for a record, without the paths of ``folders`` and of this checkout."""
        found = {"kind": self.kind, "what": self.detail, "came_to": self.result, "said": self.messages}
        for folder in (*folders, str(Path(__file__).parents[1])):
            found = {name: text.replace(folder, "") for name, text in found.items()}
        return found


class Laboratory:
    """A folder with a text, a complete run, some that were killed, and one with another learning rate."""

    def __init__(self, folder: Path, snapshots: int = 3):
        """Train the complete run, and kill some others at moments spread over their steps."""
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
        """Start training, or resuming."""
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
        """Train, or resume, to the end."""
        process = self.start(run, resume=resume, options=options)
        _, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, "", errors)

    def hit(self, kind: str, rng: random.Random) -> Outcome:
        """Bring about one fault in a copy of a run, and resume it."""
        run = self.folder / "hit"
        while True:
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(rng.choice(self.snapshots[kind in PROCESS :]), run)
            try:
                if kind in DAMAGE:
                    detail = DAMAGE[kind](run, rng)
                elif kind in MIXED:
                    detail = MIXED[kind](run, rng, self.other)
                else:
                    detail = PROCESS[kind](run, rng, lambda limit: self.start(run, limit))
                break
            except Missed:
                continue
            except WrongExit as error:
                return Outcome(kind, "", str(error), "")
        before = content(run)
        done = self.train(run, resume=True)
        return Outcome(kind, detail, *self.judge(run, before, done))

    def judge(self, run: Path, before: dict[Path, bytes], done: subprocess.CompletedProcess) -> tuple[str, str]:
        """Return the result of a resumed run, and its messages."""
        lines = [line for line in done.stderr.replace("\r", "\n").split("\n") if line.startswith("rnnlm-jax")]
        messages, errors = " | ".join(lines), [line for line in lines if "error: " in line]
        if "Traceback" in done.stderr:
            return "a traceback", done.stderr[done.stderr.index("Traceback") :].strip()
        if done.returncode == 2:
            if len(errors) != 1 or content(run) != before:
                return "stopped, but not with one line, or it changed files", messages
            return "stopped with one line", messages
        if done.returncode:
            return f"exit code {done.returncode}", messages
        theirs, ours = records(self.whole), records(run)
        if final(run) != final(self.whole):
            return "other parameters or results", messages
        if ours == theirs:
            return "went on rightly", messages
        if "metrics.jsonl is missing" in messages and ours == theirs[len(theirs) - len(ours) :]:
            return "went on rightly without earlier records", messages
        return "other records", messages


def sentences() -> str:
    """Return a text of 50 lines of a few words."""
    rng, words = random.Random(0), list("abcdefghijkl")
    return "\n".join(" ".join(rng.choices(words, k=rng.randrange(3, 9))) for _ in range(50)) + "\n"


def lines_of(run: Path) -> int:
    """Return the number of lines of metrics that a run has written."""
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def records(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of a run without those that depend on the clock."""
    return [timeless(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def final(run: Path) -> list[Any]:
    """Return the last step, the digests of its checkpoint, and the results of the best parameters."""
    step = max(int(path.name) for path in (run / "checkpoints" / "last").iterdir())
    about = json.loads((run / "checkpoints" / "last" / str(step) / "about" / "metadata").read_text())
    results = json.loads((run / "results.json").read_text())
    return [step, about["digests"], timeless(results["test"]), timeless(results["valid"])]


def timeless(figures: dict[str, Any]) -> dict[str, Any]:
    """Return metrics without those of the clock, and without the identifier of the run."""
    return {name: value for name, value in figures.items() if not name.startswith((*TIMING_PREFIXES, "run_id"))}


def content(run: Path) -> dict[Path, bytes]:
    """Return the content of every file of a run except its lock."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != LOCK}


def draws(count: int, rng: random.Random) -> Iterator[str]:
    """Draw kinds of faults, in their shares."""
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    while count > 0:
        rng.shuffle(kinds)
        yield from kinds[:count]
        count -= len(kinds)


def summary(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    """Count the results of each kind of fault."""
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        table[outcome.kind][outcome.result] += 1
    return {kind: dict(table[kind]) for kind in SHARES if kind in table}


def main() -> int:
    """Bring about the faults, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100, metavar="N", help="number of faults (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the faults (default: 0)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "faults-cpu.json")
    arguments = parser.parse_args()
    rng, outcomes = random.Random(arguments.seed), []
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory(Path(folder))
        for number, kind in enumerate(draws(arguments.faults, rng)):
            outcomes.append(laboratory.hit(kind, rng))
            last = outcomes[-1]
            print(f"{number + 1:4d} {last.kind}: {last.detail}: {last.result if last.fine else last.result.upper()}")
            print(f"     {last.messages.replace(folder, '')}", flush=True)
    table = summary(outcomes)
    print(json.dumps(table, indent=2))
    wrong = [outcome.as_json(folder) for outcome in outcomes if not outcome.fine]
    record = {"faults": len(outcomes), "seed": arguments.seed, "came_to": table, "wrong": wrong}
    write_json(arguments.out, record | {"environment": environment()})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
