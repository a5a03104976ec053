"""Random faults of training jobs of two processes: ``python -m benchmarks.job_faults [--each N] [--seed N]``.

A small model is trained by two processes through the command line, once undisturbed. Then one of the two, the other or
both are asked to stop, and one of them is killed or suspended, at random moments: amid compilation, a step, a save or
validation, with checkpoints at several intervals. After SIGTERM both processes must have ended with exit code 75. After
a kill, or while its partner is suspended, the survivor must end with exit code 75 and one line within the promised
time. ``train --resume-or-start`` must then come to the very same parameters, losses and results. Anything else is
printed, and the exit code is 1.
"""

import argparse
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fault_kinds import Missed, WrongExit
from benchmarks.faults import MODEL, Outcome, final, lines_of, records, sentences
from rnnlm_jax.partners import free_local_port
from rnnlm_jax.runs import write_json
from rnnlm_jax.stopping import STOPPED
from rnnlm_jax.training.train import environment

#: ``--partner-timeout`` of the jobs, and how much later than that a survivor may have ended on a busy machine.
PARTNER_SECONDS, ALLOWANCE = 6.0, 4.0

#: Steps between two checkpoints: every one, a few, and none within an epoch.
INTERVALS = (1, 4, 1000)

#: Where in training a fault hits.
MOMENTS = ("compilation", "step", "save", "validation")

#: Which of the two processes are sent a signal.
TARGETS = ((0,), (1,), (0, 1))

#: How often the text is repeated for validation, which then takes a second or so.
VALIDATION_TIMES = 300

_MOST_SECONDS = 300.0


class JobLaboratory:
    """A folder with a text, and a job that nothing happened to."""

    def __init__(self, folder: Path):
        """Train the undisturbed job."""
        self.folder, self.text, self.whole = folder, folder / "text", folder / "whole"
        self.text.mkdir()
        for split, times in (("train", 1), ("valid", VALIDATION_TIMES), ("test", 1)):
            (self.text / f"{split}.txt").write_text(sentences() * times)
        codes = [code for code, _ in finish(self.start(self.whole))]
        if codes != [0, 0]:
            raise RuntimeError(f"the undisturbed job ended with {codes}")
        kinds = [record["kind"] for record in records(self.whole)]
        self.epoch_lines = kinds.index("epoch")

    def start(self, run: Path, every: int = 4) -> list[subprocess.Popen]:
        """Begin the two processes of a job, or go on with it."""
        job = [f"--coordinator=localhost:{free_local_port()}", "--processes=2", f"--partner-timeout={PARTNER_SECONDS}"]
        options = [*MODEL, f"--checkpoint-every={every}", "--epochs=2", f"--data={self.text}"]
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

    def hit(self, kind: str, moment: str, targets: Sequence[int], every: int, rng: random.Random) -> Outcome:
        """Have one fault hit a new job, and go on with it."""
        run = self.folder / "hit"
        while True:
            shutil.rmtree(run, ignore_errors=True)
            job = self.start(run, every)
            try:
                self.wait_for(moment, job, run, rng)
                what = stop(job, targets) if kind == "SIGTERM" else lose(job, targets[0], signal.Signals[kind])
                break
            except Missed:
                continue
            except WrongExit as error:
                return Outcome(kind, f"{moment}, process {targets}", str(error), "")
            finally:
                end(job)
        what = f"amid {moment}, checkpoints every {every}, process {' and '.join(map(str, targets))}: {what}"
        return Outcome(kind, what, *self.judge(run, finish(self.start(run, every))))

    def wait_for(self, moment: str, job: list[subprocess.Popen], run: Path, rng: random.Random) -> None:
        """Wait until the first process is amid something, and then a little.

        Raises:
            Missed: if the job ends before.
        """
        lines, began = rng.randrange(1, self.epoch_lines - 1), time.monotonic()
        while not self._is_amid(moment, run, lines):
            if any(process.poll() is not None for process in job) or time.monotonic() - began > _MOST_SECONDS:
                raise Missed
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.5 if moment == "validation" else 0.05))

    def _is_amid(self, moment: str, run: Path, lines: int) -> bool:
        written = lines_of(run)
        if moment == "compilation":
            return (run / "config.json").exists() and not written
        if moment == "step":
            return written >= lines
        if moment == "save":
            return written >= min(lines, 3) and any((run / "checkpoints").glob("*/*tmp*"))
        return written == self.epoch_lines

    def judge(self, run: Path, ended: list[tuple[int, str]]) -> tuple[str, str]:
        """What a job that went on came to, and what it said."""
        said = " | ".join(line for _, errors in ended for line in told(errors))
        if [code for code, _ in ended] != [0, 0]:
            return f"exit codes {[code for code, _ in ended]}", "".join(errors for _, errors in ended)
        if final(run) != final(self.whole):
            return "other parameters or results", said
        return ("went on rightly" if records(run) == records(self.whole) else "other records"), said


def stop(job: list[subprocess.Popen], targets: Sequence[int]) -> str:
    """Send SIGTERM; both processes must have been stopped."""
    began = time.monotonic()
    for target in targets:
        job[target].terminate()
    ended = finish(job)
    seconds = time.monotonic() - began
    codes = [code for code, _ in ended]
    if codes == [0, 0] or -signal.SIGTERM in codes:  # it was done; or still loading Python's modules
        raise Missed
    if codes != [STOPPED, STOPPED] or any("Traceback" in errors for _, errors in ended):
        raise WrongExit(f"exit codes {codes} after SIGTERM: {[errors for _, errors in ended]}")
    return f"{seconds:.1f} s"


def lose(job: list[subprocess.Popen], target: int, how: signal.Signals) -> str:
    """Kill or suspend one process; the other must end with one line in time."""
    survivor = job[1 - target]
    began = time.monotonic()
    job[target].send_signal(how)
    ((code, errors),) = finish([survivor])
    seconds = time.monotonic() - began
    if code == 0:
        raise Missed
    lines = [line for line in told(errors) if "error: " in line]
    if code != STOPPED or len(lines) != 1 or "is gone" not in lines[0] or other_lines(errors):
        raise WrongExit(f"exit code {code} of the survivor: {errors}")
    if seconds > PARTNER_SECONDS + ALLOWANCE:
        raise WrongExit(f"the survivor took {seconds:.1f} s")
    return f"{seconds:.1f} s"


def told(errors: str) -> list[str]:
    """The lines of standard error that are the command's own."""
    return [line[line.index("rnnlm-jax: ") :] for line in errors.splitlines() if "rnnlm-jax: " in line]


def other_lines(errors: str) -> list[str]:
    """The lines of standard error that are neither the command's own, nor a progress bar, nor a connection's begin."""
    lines = errors.replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip() and not line.startswith(("rnnlm-jax: ", "training: ", "[Gloo] "))]


def finish(job: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Exit code and standard error of each process, none of which may be left behind."""
    try:
        errors = [process.communicate(timeout=_MOST_SECONDS)[1] for process in job]
        return [(process.returncode, text) for process, text in zip(job, errors, strict=True)]
    except subprocess.TimeoutExpired:
        raise WrongExit(f"not ended after {_MOST_SECONDS:g} s") from None


def end(job: list[subprocess.Popen]) -> None:
    """End what is still running, suspended or not."""
    for process in job:
        if process.poll() is None:
            process.kill()
            process.communicate()


def main() -> int:
    """Bring about the faults, and record what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, metavar="N", help="SIGTERMs, and losses (default: 20 of each)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the faults (default: 0)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "job-faults-cpu.json")
    arguments = parser.parse_args()
    rng, outcomes = random.Random(arguments.seed), []
    with tempfile.TemporaryDirectory() as folder:
        laboratory = JobLaboratory(Path(folder))
        for number in range(2 * arguments.each):
            turn = number // 2
            moment, every = MOMENTS[turn % len(MOMENTS)], INTERVALS[turn % len(INTERVALS)]
            if number % 2 == 0:
                kind, targets = "SIGTERM", TARGETS[turn // len(MOMENTS) % len(TARGETS)]
            else:
                kind, targets = rng.choice(("SIGKILL", "SIGSTOP")), (turn // len(MOMENTS) % 2,)
            outcomes.append(laboratory.hit(kind, moment, targets, every, rng))
            last = outcomes[-1]
            print(f"{number + 1:4d} {kind} {last.what}: {last.came_to if last.fine else last.came_to.upper()}")
            print(f"     {last.said.replace(folder, '')}", flush=True)
    wrong = [dataclasses.asdict(outcome) for outcome in outcomes if not outcome.fine]
    record = {"jobs": len(outcomes), "seed": arguments.seed, "partner_timeout": PARTNER_SECONDS}
    record |= {"hits": [[outcome.kind, outcome.what, outcome.came_to] for outcome in outcomes], "wrong": wrong}
    write_json(arguments.out, record | {"environment": environment()})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
