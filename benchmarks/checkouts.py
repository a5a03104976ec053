"""Compare the speed of two checkouts: ``python -m benchmarks.checkouts OTHER [--rounds N] [--only TEXT]``.

Layers forward and backward, training steps and Jacobian spectra are compiled once in a process of each checkout. The
processes are timed in turn, so that changes of the machine's speed affect both alike. A line shows the median, over the
rounds, of this checkout's time divided by that of OTHER, a folder with another version, and the ratio of the memory of
the compiled programs besides arguments and results.

OTHER is timed with this checkout's programs, as far as it has the names that they use. Where it does not, its own
program of the same name in ``OTHER/benchmarks`` is timed, and the line is marked with ``*``: the two may differ.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timed_programs import programs
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.training.results import environment

OURS = Path(__file__).parents[1]


class Unavailable(Exception):
    """A checkout's library lacks what a program uses."""


class Server:
    """A process of ``timing_server`` with the library of one checkout and the programs of the same or another one."""

    def __init__(self, library: Path, programs: Path, folder: Path):
        """Start the process.

        Args:
            library: checkout whose ``rnnlm_jax`` is timed.
            programs: checkout whose ``benchmarks`` are used.
            folder: a new folder to start in, with links to both and nothing else.
        """
        folder.mkdir()
        (folder / "rnnlm_jax").symlink_to(library / "rnnlm_jax")
        (folder / "benchmarks").symlink_to(programs / "benchmarks")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.timing_server"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def time(self, name: str) -> tuple[float, float]:
        """Return the least seconds of a program in one turn, and its bytes besides arguments and results.

        Raises:
            Unavailable: if the library lacks what the program uses, or the process ends.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(name, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise Unavailable("its process has ended") from None
        answer = self._process.stdout.readline()
        if not answer or answer.startswith("unavailable"):
            raise Unavailable(answer.partition(" ")[2].strip() or "its process has ended")
        seconds, memory = answer.split()
        return float(seconds), float(memory)


def other_server(name: str, servers: list[Server]) -> Server:
    """Return the first server that has a program.

    Raises:
        SystemExit: if none has it, with the reasons.
    """
    reasons = []
    for server in servers:
        try:
            server.time(name)
            return server
        except Unavailable as error:
            reasons.append(str(error))
    sys.exit(f"{name} cannot be timed in the other checkout ({'; '.join(reasons)}): choose programs with --only")


def main() -> int:
    """Time the programs, print the table, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a folder with the other version")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each program (default: 7)")
    parser.add_argument("--only", default="", metavar="TEXT", help="programs whose name contains TEXT (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the record, as JSON")
    arguments = parser.parse_args()
    if not (arguments.other / "rnnlm_jax" / "__init__.py").is_file():
        parser.error(f"{arguments.other} is not a checkout: it has no rnnlm_jax")
    chosen = [program for program in programs() if arguments.only in program]
    if not chosen:
        parser.error(f"no program has {arguments.only!r} in its name: {'; '.join(programs())}")
    other = arguments.other.resolve()
    record: dict[str, Any] = {}
    print(f"{'':52s}{'other ms':>10s}{'ours ms':>10s}{'ratio':>8s}{'memory':>8s}")
    with tempfile.TemporaryDirectory() as name:
        ours = Server(OURS, OURS, Path(name) / "ours")
        others = [Server(other, OURS, Path(name) / "other"), Server(other, other, Path(name) / "other-programs")]
        for program in chosen:
            theirs = other_server(program, others)
            found = np.array([[ours.time(program), theirs.time(program)] for _ in range(arguments.rounds + 1)])[1:]
            times, (our_bytes, their_bytes) = found[..., 0], found[0, :, 1]
            our_time, their_time = np.median(times, axis=0)
            ratio = float(np.median(times[:, 0] / times[:, 1]))
            record[program] = {"ours": float(our_time), "other": float(their_time), "ratio": ratio}
            line = f"{program:52s}{1e3 * their_time:10.3f}{1e3 * our_time:10.3f}{ratio:8.3f}"
            if their_bytes:
                record[program] |= {"memory": our_bytes, "other_memory": their_bytes}
                line += f"{our_bytes / their_bytes:8.2f}"
            if theirs is not others[0]:
                record[program]["others_own_program"] = True
                line += " *"
            print(line, flush=True)
    if arguments.out:
        write_json(arguments.out, {"environment": environment(), "rounds": arguments.rounds, "seconds": record})
    return 0


if __name__ == "__main__":
    sys.exit(main())
