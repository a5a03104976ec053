"""Random faults of training jobs of two processes: ``python -m benchmarks.job_faults [--each N] [--seed N]``.

A small model is trained by two processes through the command line, once without faults. Then one of the two or both get
SIGTERM, and one of them is killed or suspended, at random moments: during compilation, a step, a save or validation,
with checkpoints at several intervals. After SIGTERM both processes must end with exit code 75. After a kill, or while
its partner is suspended, the survivor must end with exit code 75 and one line of error within the promised time. Each
time ``train --resume-or-start`` goes on; after some faults a job may end, and must give exactly the same parameters,
losses and results. Anything else is printed, and the exit code is 1.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.fault_kinds import Missed, WrongExit
from benchmarks.faults import MODEL, Outcome, final, lines_of, records, sentences
from rnnlm_jax.jobs.liveness import free_local_port
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.jobs.stopping import STOPPED
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.run_lock import LOCK

#: ``--partner-timeout`` of the jobs, and the additional time in which a survivor must end on a busy machine.
PARTNER_SECONDS, ALLOWANCE = 6.0, 4.0

#: Steps between two checkpoints: one, a few, and more than an epoch has.
INTERVALS = (1, 4, 1000)

#: Moments of training at which a fault may hit.
MOMENTS = ("compilation", "step", "save", "validation")

#: Number of faults that hit one job before it may end.
FAULTS_PER_JOB = 5

#: Processes that get a signal.
TARGETS = ((0,), (1,), (0, 1))

#: Repetitions of the text for validation, which then takes about a second.
VALIDATION_TIMES = 150

_MOST_SECONDS = 300.0


class Fault(NamedTuple):
    """A fault of a job: its kind, its moment, and the processes that it hits."""

    kind: str
    moment: str
    targets: tuple[int, ...]


class JobLaboratory:
    """A folder with a text and the run of a job without faults."""

    def __init__(self, folder: Path):
        """Train the job without faults."""
        self.folder, self.text, self.whole = folder, folder / "text", folder / "whole"
        self.text.mkdir()
        for split, times in (("train", 1), ("valid", VALIDATION_TIMES), ("test", 1)):
            (self.text / f"{split}.txt").write_text(sentences() * times)
        codes = [code for code, _ in finish(self.start(self.whole))]
        if codes != [0, 0]:
            raise RuntimeError(f"the job without faults ended with {codes}")
        #: Lines of metrics when an epoch is validated.
        self.before_validation = {k for k, record in enumerate(records(self.whole)) if record["kind"] == "validation"}

    def start(self, run: Path, every: int = 4, partner_seconds: float = 60.0) -> list[subprocess.Popen]:
        """Start the two processes of a job, or of its continuation."""
        job = [f"--coordinator=localhost:{free_local_port()}", "--processes=2", f"--partner-timeout={partner_seconds}"]
        options = [*MODEL, f"--checkpoint-every={every}", "--epochs=12", f"--data={self.text}"]
        cache = f"--compilation-cache={self.folder / 'compiled'}"
        words = ["train", f"--run={run}", "--resume-or-start", cache, *options, *job]
        return [
            subprocess.Popen(
                [sys.executable, "-c", "from rnnlm_jax.cli.main import run; run()", *words, f"--process-id={process}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"},
            )
            for process in range(2)
        ]

    def hit(self, faults: Sequence[Fault], every: int, rng: random.Random) -> list[Outcome]:
        """Bring about faults in one job, which goes on after each, and then let it end."""
        run = self.folder / "hit"
        hits: list[tuple[str, str]] = []
        shutil.rmtree(run, ignore_errors=True)
        kind, where = "", "the end of a job"
        try:
            for fault in faults:
                kind, names = fault.kind, " and ".join(map(str, fault.targets))
                where = f"process {names} during {fault.moment}, checkpoints every {every}"
                job = self.start(run, every, 60.0 if kind == "SIGTERM" else PARTNER_SECONDS)
                try:
                    self.wait_for(fault.moment, job, run, rng)
                    seconds = stop(job, fault.targets) if kind == "SIGTERM" else lose(job, fault)
                except Missed:  # the job had ended
                    break
                finally:
                    end(job)
                hits.append((kind, f"{where}: {seconds:.1f} s"))
            result, messages = self.judge(run, finish(self.start(run, every)))
        except WrongExit as error:
            return [*(Outcome(*hit, "before a wrong exit", "") for hit in hits), Outcome(kind, where, str(error), "")]
        return [Outcome(*hit, result, messages) for hit in hits]

    def wait_for(self, moment: str, job: list[subprocess.Popen], run: Path, rng: random.Random) -> None:
        """Wait until the first process is at the moment, and then a random time.

        Raises:
            Missed: if the job ends before.
        """
        lines, began, before = rng.randrange(1, 10), time.monotonic(), None
        while True:
            written = lines_of(run)
            before = written if before is None else min(before, written)  # going on drops some
            if self._is_at(moment, run, written, written - before >= lines, job[0].pid):
                break
            if any(process.poll() is not None for process in job) or time.monotonic() - began > _MOST_SECONDS:
                raise Missed
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.3 if moment in ("validation", "compilation") else 0.05))

    def _is_at(self, moment: str, run: Path, written: int, has_trained: bool, first: int) -> bool:
        if moment == "compilation":  # it begins when the run is locked
            lock = run / LOCK
            return lock.exists() and lock.read_text().startswith(f"{first} ")
        if moment == "step":
            return has_trained
        if moment == "save":
            return has_trained and any((run / "checkpoints").glob("*/*tmp*"))
        return has_trained and written in self.before_validation

    def judge(self, run: Path, ended: list[tuple[int, str]]) -> tuple[str, str]:
        """Return the result of a job that went on, and its messages."""
        messages = " | ".join(line for _, errors in ended for line in own_lines(errors))
        if [code for code, _ in ended] != [0, 0]:
            return f"exit codes {[code for code, _ in ended]}", "".join(errors for _, errors in ended)
        if final(run) != final(self.whole):
            return "other parameters or results", messages
        return ("went on rightly" if records(run) == records(self.whole) else "other records"), messages


def stop(job: list[subprocess.Popen], targets: Sequence[int]) -> float:
    """Send SIGTERM to some processes; return the seconds until both have stopped."""
    began = time.monotonic()
    for target in targets:
        job[target].terminate()
    ended = finish(job)
    seconds = time.monotonic() - began
    codes = [code for code, _ in ended]
    if codes == [0, 0] or -signal.SIGTERM in codes:  # it had ended, or was still importing modules
        raise Missed
    if codes != [STOPPED, STOPPED] or any("Traceback" in errors for _, errors in ended):
        raise WrongExit(f"exit codes {codes} after SIGTERM: {[errors for _, errors in ended]}")
    return seconds


def lose(job: list[subprocess.Popen], fault: Fault) -> float:
    """Kill or suspend one process; return the seconds until the other has ended, with one line of error and in time."""
    (target,) = fault.targets
    survivor = job[1 - target]
    began = time.monotonic()
    job[target].send_signal(signal.Signals[fault.kind])
    ((code, errors),) = finish([survivor])
    seconds = time.monotonic() - began
    if code == 0:
        raise Missed
    lines = [line for line in own_lines(errors) if "error: " in line]
    if code != STOPPED or len(lines) != 1 or "is gone" not in lines[0] or other_lines(errors):
        raise WrongExit(f"exit code {code} of the survivor: {errors}")
    if seconds > PARTNER_SECONDS + ALLOWANCE:
        raise WrongExit(f"the survivor took {seconds:.1f} s")
    return seconds


def own_lines(errors: str) -> list[str]:
    """Return the lines of standard error that the command itself printed."""
    return [line[line.index("rnnlm-jax: ") :] for line in errors.splitlines() if "rnnlm-jax: " in line]


def other_lines(errors: str) -> list[str]:
    """Return the lines of standard error other than the command's own, progress bars and starts of connections."""
    lines = errors.replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip() and not line.startswith(("rnnlm-jax: ", "training: ", "[Gloo] "))]


def finish(job: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Wait for each process; return its exit code and standard error."""
    try:
        errors = [process.communicate(timeout=_MOST_SECONDS)[1] for process in job]
        return [(process.returncode, text) for process, text in zip(job, errors, strict=True)]
    except subprocess.TimeoutExpired:
        raise WrongExit(f"not ended after {_MOST_SECONDS:g} s") from None


def end(job: list[subprocess.Popen]) -> None:
    """Kill the processes that still run, suspended or not."""
    for process in job:
        if process.poll() is None:
            process.kill()
            process.communicate()


def main() -> int:
    """Bring about the faults, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, metavar="N", help="SIGTERMs, and losses (default: 20 of each)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the faults (default: 0)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "job-faults-cpu.json")
    arguments = parser.parse_args()
    rng, outcomes = random.Random(arguments.seed), []
    todo = list(faults(arguments.each, rng))
    with tempfile.TemporaryDirectory() as folder:
        laboratory = JobLaboratory(Path(folder))
        while todo:
            every = INTERVALS[len(outcomes) // FAULTS_PER_JOB % len(INTERVALS)]
            found = laboratory.hit(todo[:FAULTS_PER_JOB], every, rng)
            todo = todo[len(found) :]
            outcomes += found
            for outcome in found:
                print(f"{outcome.kind}, {outcome.detail}: {outcome.result if outcome.fine else outcome.result.upper()}")
            print(f"     {found[-1].messages.replace(folder, '') if found else 'the job had ended'}", flush=True)
            write_json(arguments.out, record_of(outcomes, arguments.seed, folder))
    return 0 if all(outcome.fine for outcome in outcomes) else 1


def faults(each: int, rng: random.Random) -> Iterator[Fault]:
    """Yield SIGTERMs and losses in turn, at every moment and to every process."""
    for turn in range(each):
        moment, round_number = MOMENTS[turn % len(MOMENTS)], turn // len(MOMENTS)
        yield Fault("SIGTERM", moment, TARGETS[round_number % len(TARGETS)])
        yield Fault(rng.choice(("SIGKILL", "SIGSTOP")), moment, (round_number % 2,))


def record_of(outcomes: list[Outcome], seed: int, folder: str) -> dict[str, Any]:
    """Return the record of the faults so far, without paths of ``folder``."""
    table = {
        kind: dict(collections.Counter(outcome.result for outcome in outcomes if outcome.kind == kind))
        for kind in ("SIGTERM", "SIGKILL", "SIGSTOP")
    }
    return {
        "faults": len(outcomes),
        "seed": seed,
        "partner_timeout": PARTNER_SECONDS,
        "came_to": table,
        "hits": [f"{outcome.kind}, {outcome.detail}" for outcome in outcomes],
        "wrong": [outcome.as_json(folder) for outcome in outcomes if not outcome.fine],
        "environment": environment(),
    }


if __name__ == "__main__":
    sys.exit(main())
